"""What the store does, as generators of commands. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from umbel.contracts.powers import Record
from umbel.engines.redis_command import Command, Script, load
from umbel.engines.redis_layout import QUEUES, record_key

T = TypeVar("T")
Steps: TypeAlias = Generator[Sequence[Command], Any, T]

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


def forget(job_id: str, queue: str | None) -> Steps[None]:
    """Delete the record of *job_id*."""
    names = [queue] if queue is not None else (yield from _names())
    if names:
        yield [Command((b"DEL", *(record_key(name, job_id) for name in names)))]


def put(
    scripts: dict[str, Script], records: Sequence[Record], new: Collection[str], channel: bytes
) -> Steps[list[bool]]:
    """Store *records*; queues named in *new* are registered first."""
    commands = [
        _run(scripts, "put", record, (channel + record.id.encode(), record.value, _ttl(record), _claim(record)))
        for record in records
    ]
    replies = yield [*_registration(new), *commands]
    return [reply == 1 for reply in replies[-len(commands) :]]


def claim(scripts: dict[str, Script], claims: Sequence[Record], new: Collection[str]) -> Steps[list[bytes | None]]:
    """Reserve the records of *claims* for their owners; answers the records that are there already."""
    commands = [_run(scripts, "claim", record, (_claim(record), _ttl(record), CLAIM)) for record in claims]
    replies = yield [*_registration(new), *commands]
    return list(replies[-len(commands) :])


def _names() -> Steps[list[str]]:
    (reply,) = yield [queues()]
    return sorted(name.decode() for name in reply)


def _registration(new: Collection[str]) -> list[Command]:
    return [Command((b"SADD", QUEUES, *new))] if new else []


def _run(scripts: dict[str, Script], name: str, record: Record, words: tuple[bytes | int, ...]) -> Command:
    script = scripts.get(name)
    if script is None:
        script = scripts[name] = load(FOLDER, name)
    return Command((b"EVALSHA", script.sha, 1, record_key(record.queue, record.id), *words), script)


def _claim(record: Record) -> bytes:
    return CLAIM + record.owner.encode()


def _ttl(record: Record) -> int:
    return max(1, int(record.ttl * 1000))
