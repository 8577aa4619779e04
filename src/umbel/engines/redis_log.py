"""A log of batches on Redis: one stream, in a slot of its own. A batch may be there twice, when an answer was lost."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar, cast

from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_jobs import milliseconds
from umbel.engines.redis_opening import AnyEngine
from umbel.exceptions import BrokerError

K = TypeVar("K")

LOOK_AGAIN_SECONDS: Final = 15.0
"""A silent line may be a dead one: no wait is longer."""

_CURSOR: Final = re.compile(r"\d{1,19}-\d{1,19}")
_START: Final = "0-0"
_NOW: Final = "$"


class RedisLog(Generic[K]):
    """The log *key* of one database, or of a Cluster: the verbs of `EventLog`.

    What is read is made by *kept* of a cursor, which is the place of a batch in the stream, and the batch.
    """

    def __init__(self, engine: AnyEngine, key: bytes, kept: Callable[[str, bytes], K]) -> None:
        self._engine = engine
        self._key = key
        self._made = kept

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Add *batches*; see `EventLog.append`. Up to a hundred more than *bound* are kept."""
        self._engine.call(self._adding(batches, bound))

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """The async twin of `append`."""
        await self._engine.acall(self._adding(batches, bound))

    async def read(self, after: str, limit: int, wait: float) -> list[K]:
        """What comes after the cursor *after*; see `EventLog.read`. Waits on a connection of its own, at most 15 s."""
        patience, end = self._engine.patience(), time.monotonic() + min(wait, LOOK_AGAIN_SECONDS)
        while True:
            seconds = max(0.0, end - time.monotonic())
            try:
                reply = await self._engine.ablocked(self._reading(after, limit, seconds), seconds, patience)
            except OSError as error:
                await asyncio.sleep(patience.pause(error))
            else:
                return self._kept(reply)

    async def end(self) -> str:
        """The cursor of the newest batch; see `EventLog.end`."""
        (found,) = await self._engine.acall([Command((b"XREVRANGE", self._key, b"+", b"-", b"COUNT", 1))])
        return found[0][0].decode() if found else ""

    async def count(self) -> int | None:
        """How many batches were ever added; None if there are none yet, or the server, before 7.0, does not tell."""
        try:
            (found,) = await self._engine.acall([Command((b"XINFO", b"STREAM", self._key))])
        except BrokerError:
            return None
        return cast("dict[bytes, int]", found).get(b"entries-added") if isinstance(found, dict) else None

    def _kept(self, reply: Any) -> list[K]:
        found: dict[bytes, list[tuple[bytes, list[bytes]]]] = self._engine.accepted([reply])[0] or {}
        return [self._made(place.decode(), fields[1]) for entries in found.values() for place, fields in entries]

    def _adding(self, batches: Sequence[bytes], bound: int) -> list[Command]:
        return [Command((b"XADD", self._key, b"MAXLEN", b"~", bound, b"*", b"b", batch)) for batch in batches]

    def _reading(self, after: str, limit: int, seconds: float) -> tuple[Word, ...]:
        block = ("BLOCK", max(1, milliseconds(seconds))) if seconds > 0 else ()
        place = after if after == _NOW or _CURSOR.fullmatch(after) else _START
        return ("XREAD", "COUNT", limit, *block, "STREAMS", self._key, place)
