"""Limits, paces and unique keys as arguments of scripts, and the calls that are made of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from umbel.brokers.redis.calls import Calls
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_jobs import MAX_SENT_BYTES, due, milliseconds
from umbel.model.limit import Limit, Pace, Unique

MAX_ADMITTED: Final = 200

_NO_LIMIT: Final[tuple[Word, Word, Word]] = ("", "", "")


def admitting(calls: Calls, admissions: Sequence[Admission]) -> Iterator[tuple[Command, list[int]]]:
    """The calls that admit, and the places of those whom each is for.

    What is sent to a queue whose length is bounded is one call, however much it is: all or nothing.
    """
    queues: dict[str, list[int]] = {}
    for place, admission in enumerate(admissions):
        queues.setdefault(admission.job.queue, []).append(place)
    for queue, places in queues.items():
        lengths = [length for place in places if (length := admissions[place].max_length)]
        most = min(lengths, default=0)
        for part in [places] if most else _parts(admissions, places):
            words = [word for place in part for word in _admission(admissions[place])]
            yield calls.make("admit", queue, (most, *words)), part


def _parts(admissions: Sequence[Admission], places: Sequence[int]) -> Iterator[list[int]]:
    part: list[int] = []
    size = 0
    for place in places:
        part.append(place)
        size += len(admissions[place].job.envelope)
        if len(part) >= MAX_ADMITTED or size >= MAX_SENT_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _admission(admission: Admission) -> tuple[Word, ...]:
    job = admission.job
    return (job.id, job.level, due(job), job.envelope, *limit_words(admission.limit), unique_word(admission.unique))


def entry_words(entry: Entry) -> tuple[Word, ...]:
    """What `enter` is told of one delivery."""
    delivery = entry.delivery
    counts = delivery.counts
    tag = f"{delivery.level}:{delivery.number}"
    return (
        delivery.id,
        tag,
        int(bool(counts.doom)),
        counts.retries,
        *limit_words(entry.limit),
        unique_word(entry.unique),
    )


def limit_words(limit: Limit | None) -> tuple[Word, Word, Word]:
    """The name, the turn and the pace of *limit*."""
    if limit is None:
        return _NO_LIMIT
    turn = "" if limit.turn is None else f"+{limit.turn}"
    return limit_name(limit.task, limit.key), turn, pace_word(limit.pace)


def limit_name(task: str, key: str) -> bytes:
    """How a limit is called in keys: so, that no two are called the same."""
    text = task.encode()
    return b"%d:%b%b" % (len(text), text, key.encode())


@lru_cache(1024)
def pace_word(pace: Pace) -> str:
    """*pace*, its interval in milliseconds."""
    return f"{pace.concurrency} {pace.interval * 1000:.6g} {pace.burst}"


def unique_word(unique: Unique | None) -> str:
    """*unique*: how its key is kept, for how many milliseconds, the key."""
    if unique is None:
        return ""
    if unique.seconds:
        return f"t{milliseconds(unique.seconds)}:{unique.key}"
    return f"{'q' if unique.scope == 'queued' else 'd'}0:{unique.key}"


def standing_of(row: Sequence[Any]) -> Standing:
    """How a limit stands, as the script tells it."""
    name, told, adjusted, held, out, entered, turns = row
    length, rest = name.split(b":", 1)
    task, key = rest[: int(length)].decode(), rest[int(length) :].decode()
    pace = Pace() if told is None else _pace(told)
    limit = Limit(task, key, pace=pace)
    return Standing(
        limit, pace if adjusted is None else _pace(adjusted), adjusted is not None, held, out, entered, turns
    )


def _pace(text: bytes) -> Pace:
    most, interval, burst = text.split()
    return Pace(int(most), float(interval) / 1000, int(burst))
