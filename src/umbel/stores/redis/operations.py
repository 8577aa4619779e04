"""What the store does, as generators of commands. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from umbel.contracts.powers import Record
from umbel.engines.redis_command import Command, Script, Word, load
from umbel.engines.redis_layout import QUEUES, record_key

T = TypeVar("T")
Steps: TypeAlias = Generator[Sequence[Command], list[Any], T]

FOLDER: Final = Path(__file__).parent / "scripts"
# No msgpack value begins with 0xC1, so no record looks like a claim.
CLAIM: Final = b"\xc1C"


def queues() -> Command:
    """The command that asks for the names of all queues."""
    return Command((b"SMEMBERS", QUEUES))


def gets(job_id: str, names: Sequence[str]) -> list[Command]:
    """The commands that look for a record in each of *names*."""
    return [Command((b"GET", record_key(name, job_id))) for name in names]


def record_in(replies: Sequence[bytes | None]) -> bytes | None:
    """The record among the values found; a claim is none."""
    for value in replies:
        if value is not None and not value.startswith(CLAIM):
            return value
    return None


def fetch(job_id: str, queue: str | None) -> Steps[bytes | None]:
    """The record of *job_id*, in every queue if *queue* is None."""
    names = [queue] if queue is not None else (yield from _names())
    return record_in((yield gets(job_id, names))) if names else None


def fetch_many(job_ids: Sequence[str], queue: str | None) -> Steps[list[bytes | None]]:
    """The record of each of *job_ids*, in every queue if *queue* is None."""
    names = [queue] if queue is not None else (yield from _names())
    if not names or not job_ids:
        return [None] * len(job_ids)
    replies = yield [command for job_id in job_ids for command in gets(job_id, names)]
    width = len(names)
    return [record_in(replies[start : start + width]) for start in range(0, len(replies), width)]


def forget(job_id: str, queue: str | None) -> Steps[None]:
    """Delete the record of *job_id*."""
    names = [queue] if queue is not None else (yield from _names())
    if names:
        yield [Command((b"DEL", record_key(name, job_id))) for name in names]


def put(scripts: Scripts, records: Sequence[Record], new: Collection[str], channel: bytes) -> Steps[list[bool]]:
    """Store *records*; queues named in *new* are registered first."""
    commands = [
        scripts.call("put", record, channel + record.id.encode(), record.value, _ttl(record), _claim(record))
        for record in records
    ]
    replies = yield [*scripts.register(new), *commands]
    return [reply == 1 for reply in replies[-len(commands) :]]


def claim(scripts: Scripts, claims: Sequence[Record], new: Collection[str]) -> Steps[list[bytes | None]]:
    """Reserve the records of *claims* for their owners; answers the records that are there already."""
    commands = [scripts.call("claim", record, _claim(record), _ttl(record), CLAIM) for record in claims]
    replies = yield [*scripts.register(new), *commands]
    return list(replies[-len(commands) :])


class Scripts:
    """Makes commands of the store's scripts, each loaded when it is first needed."""

    def __init__(self) -> None:
        self._loaded: dict[str, Script] = {}

    def call(self, name: str, record: Record, *words: Word) -> Command:
        """The call of script *name* on the key of *record*."""
        script = self._script(name)
        return Command((b"EVALSHA", script.sha, 1, record_key(record.queue, record.id), *words), script)

    def register(self, new: Collection[str]) -> list[Command]:
        """The call that makes the queues *new* known by name, if there are any."""
        script = self._script("register")
        return [Command((b"EVALSHA", script.sha, 1, QUEUES, *new), script)] if new else []

    def _script(self, name: str) -> Script:
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = load(FOLDER, name)
        return script


def _names() -> Steps[list[str]]:
    (reply,) = yield [queues()]
    return sorted(name.decode() for name in reply)


def _claim(record: Record) -> bytes:
    return CLAIM + record.owner.encode()


def _ttl(record: Record) -> int:
    return max(1, int(record.ttl * 1000))
