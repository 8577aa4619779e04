"""Jobs and settlements as flat arguments of scripts, in chunks that a server handles in a few milliseconds. Pure.

Runs once a job in every process that sends or works: plain loops, no object an item.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from umbel.contracts.broker import Settlement
from umbel.engines.redis_command import Word
from umbel.engines.redis_layout import prefix
from umbel.model.job import MAX_PRIORITY, Counts, Job

MAX_SENT: Final = 500
MAX_SENT_BYTES: Final = 4 * 1024 * 1024
MAX_SETTLED: Final = 256
MAX_SETTLED_BYTES: Final = 1024 * 1024


class Batch(msgspec.Struct, gc=False):
    """Settlements of one queue for one call; *places* are their places in the list that was asked for."""

    queue: str
    places: list[int] = []
    items: list[Word] = []
    operations: list[Word] = []
    size: int = 0


def chunks(jobs: Sequence[Job]) -> Iterator[tuple[str, list[Word]]]:
    """*jobs* by queue, in their order: the queue and the arguments ``(id level at envelope)*`` of one call."""
    gathered: dict[str, list[Word]] = {}
    sizes: dict[str, int] = {}
    for job in jobs:
        queue = job.queue
        words = gathered.get(queue)
        if words is None:
            words = gathered[queue] = []
            sizes[queue] = 0
        envelope = job.envelope
        words += (job.id, MAX_PRIORITY - job.priority, _at(job) if job.delay or job.eta else 0, envelope)
        sizes[queue] += len(envelope)
        if len(words) >= 4 * MAX_SENT or sizes[queue] >= MAX_SENT_BYTES:
            yield queue, gathered.pop(queue)
    yield from gathered.items()


def batches(settlements: Sequence[Settlement]) -> list[Batch]:
    """*settlements* by queue, in their order."""
    done: list[Batch] = []
    filling: dict[str, Batch] = {}
    for place, settlement in enumerate(settlements):
        delivery = settlement.delivery
        queue = delivery.queue
        size = len(settlement.record)
        operations: list[Word] = []
        count = 0
        if settlement.follow_ups or settlement.envelope:
            count = _operations(settlement, operations)
            size += sum(len(word) for word in operations if isinstance(word, bytes))
        batch = filling.get(queue)
        if batch is None or len(batch.places) >= MAX_SETTLED or batch.size + size > MAX_SETTLED_BYTES:
            batch = filling[queue] = Batch(queue)
            done.append(batch)
        kind = settlement.kind
        first, second = (
            (settlement.record, max(1, int(settlement.ttl * 1000))) if kind in _TERMINAL else _verdict(settlement)
        )
        batch.places.append(place)
        batch.items += (delivery.id, f"{delivery.level}:{delivery.number}", kind, first, second, count)
        batch.operations += operations
        batch.size += size
    return done


def counts_text(counts: Counts) -> str:
    """*counts* as they are stored; the mark is not: it was for a delivery that is over."""
    return f"{counts.retries}:{counts.crashes}:{counts.losses}:-"


def counts_of(text: bytes) -> Counts:
    """The counts in *text*."""
    retries, crashes, losses, mark = text.split(b":")
    return Counts(int(retries), int(crashes), int(losses), mark == b"q")


def milliseconds(seconds: float) -> int:
    """*seconds* in whole milliseconds, never less: a job is not due before its time."""
    return math.ceil(seconds * 1000)


_TERMINAL: Final = frozenset({"end", "dead"})


def _at(job: Job) -> int:
    if job.eta is not None:
        return max(0, milliseconds(job.eta))
    return -milliseconds(max(0.0, job.delay))


def _verdict(settlement: Settlement) -> tuple[Word, Word]:
    if settlement.kind == "park":
        return settlement.task, ""
    if settlement.kind == "release":
        return "", ""
    counts = settlement.counts
    return milliseconds(settlement.delay), "" if counts is None else counts_text(counts)


def _operations(settlement: Settlement, words: list[Word]) -> int:
    for job in settlement.follow_ups:
        words += ("J", prefix(job.queue), job.id, MAX_PRIORITY - job.priority, _at(job), job.envelope)
    if not settlement.envelope or settlement.kind != "retry":
        return len(settlement.follow_ups)
    words += ("E", settlement.envelope)
    return len(settlement.follow_ups) + 1
