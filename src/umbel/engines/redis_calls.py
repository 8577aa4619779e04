"""Script calls on a queue: which script, which keys, what time it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import ClassVar, Final

from umbel.engines.redis_command import Command, Script, Word, load
from umbel.engines.redis_layout import QUEUES, prefix

_EVALSHA: Final = b"EVALSHA"


class QueueCalls:
    """Makes commands of names of scripts, which are in *folder*, or shared. The first key is called *first*.

    *clock* answers unix seconds and is for tests; without it the server's own clock counts. *clustered* queues may be
    on different nodes, so that no script can reach two of them.
    """

    carried: ClassVar[bool] = False
    """Whether all jobs go by the outbox of whoever sends them: another server carries them."""

    def __init__(
        self, folder: Path, first: bytes, clock: Callable[[], float] | None, *, clustered: bool = False
    ) -> None:
        self.clustered = clustered
        self._folder = folder
        self._first = first
        self.scripts: dict[str, Script] = {}
        self._clock = clock
        self._keys: dict[str, tuple[bytes, bytes]] = {}

    def make(self, name: str, queue: str, words: Sequence[Word] = (), *, once: bool = False) -> Command:
        """The call of script *name* on *queue* with *words* as its own arguments."""
        script = self.scripts.get(name) or self._load(name)
        jobs, place = self._keys.get(queue) or self._name(queue)
        return Command((_EVALSHA, script.sha, 1, jobs, place, self._now(), *words), script, once)

    def beside(self, name: str, key: bytes, words: Sequence[Word]) -> Command:
        """The call of script *name* on the one key *key*, which belongs to no queue."""
        script = self.scripts.get(name) or self._load(name)
        return Command((_EVALSHA, script.sha, 1, key, b"", self._now(), *words), script)

    def register(self, queues: Collection[str]) -> Command:
        """The call that makes *queues* known by name."""
        script = self.scripts.get("register") or self._load("register")
        return Command((_EVALSHA, script.sha, 1, QUEUES, *queues), script)

    def place(self, queue: str) -> bytes:
        """What the keys of *queue* begin with."""
        return (self._keys.get(queue) or self._name(queue))[1]

    def _now(self) -> Word:
        return b"" if self._clock is None else int(self._clock() * 1000)

    def _load(self, name: str) -> Script:
        script = self.scripts[name] = load(self._folder, name)
        return script

    def _name(self, queue: str) -> tuple[bytes, bytes]:
        place = self.root(queue)
        names = self._keys[queue] = (place + self._first, place)
        return names

    def root(self, queue: str) -> bytes:
        """What the keys of *queue* begin with, made anew."""
        return prefix(queue)
