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


def batches(settlements: Sequence[Settlement], *, apart: bool = False) -> list[Batch]:
    """*settlements* by queue, in their order. *apart*: follow-ups in other queues go by the outbox of this one."""
    done: list[Batch] = []
    filling: dict[str, Batch] = {}
    alike: tuple[object, ...] = ()
    head = ""
    for place, settlement in enumerate(settlements):
        delivery = settlement.delivery
        kind = settlement.kind
        operations = _operations(settlement, apart=apart) if settlement.follow_ups or settlement.envelope else _NONE
        value: Word = settlement.record if kind in _TERMINAL else _value(settlement)
        size = len(settlement.record) + operations.size
        batch = filling.get(delivery.queue)
        if batch is None or len(batch.places) >= MAX_SETTLED or batch.size + size > MAX_SETTLED_BYTES:
            batch = filling[delivery.queue] = Batch(delivery.queue)
            done.append(batch)
        facts = (delivery.level, delivery.number, kind, settlement.ttl, settlement.counts, operations.count)
        if facts != alike:
            alike, head = facts, _head(settlement, operations.count)
        batch.places.append(place)
        batch.items += (delivery.id, head, value)
        batch.operations += operations.words
        batch.size += size
    return done


def counts_text(counts: Counts) -> str:
    """*counts* as they are stored; the mark is not: it was for a delivery that is over."""
    return f"{counts.retries}:{counts.crashes}:{counts.losses}:-"


def counts_of(text: bytes) -> Counts:
    """The counts in *text*."""
    retries, crashes, losses, mark = text.split(b":")
    return Counts(int(retries), int(crashes), int(losses), mark == b"q")


def posted(job_id: bytes, text: bytes) -> Job:
    """The follow-up that lies in an outbox under *job_id* as *text*: ``level at length queue envelope``."""
    level, at, length, rest = text.split(b" ", 3)
    end = int(length)
    eta = int(at) / 1000 if int(at) else None
    return Job(job_id.decode(), rest[:end].decode(), rest[end:], MAX_PRIORITY - int(level), eta=eta)


def milliseconds(seconds: float) -> int:
    """*seconds* in whole milliseconds, never less: a job is not due before its time."""
    return math.ceil(seconds * 1000)


class _Operations(msgspec.Struct, gc=False):
    """What happens beside one verdict: follow-up jobs, a new envelope."""

    words: list[Word] = []
    count: int = 0
    size: int = 0


_NONE: Final = _Operations()
_TERMINAL: Final = frozenset({"end", "dead"})


def _at(job: Job) -> int:
    if job.eta is not None:
        return max(0, milliseconds(job.eta))
    return -milliseconds(max(0.0, job.delay))


def _value(settlement: Settlement) -> Word:
    if settlement.kind == "park":
        return settlement.task
    return milliseconds(settlement.delay) if settlement.kind == "retry" else ""


def _head(settlement: Settlement, operations: int) -> str:
    more = "-"
    if settlement.kind in _TERMINAL:
        more = str(max(1, int(settlement.ttl * 1000)))
    elif settlement.kind == "retry" and settlement.counts is not None:
        more = counts_text(settlement.counts)
    delivery = settlement.delivery
    return f"{delivery.level}:{delivery.number} {settlement.kind} {more} {operations}"


def _operations(settlement: Settlement, *, apart: bool) -> _Operations:
    found = _Operations()
    for job in settlement.follow_ups:
        kind, place = ("O", job.queue) if apart and job.queue != settlement.delivery.queue else ("J", prefix(job.queue))
        found.words += (kind, place, job.id, MAX_PRIORITY - job.priority, _at(job), job.envelope)
        found.count += 1
        found.size += len(job.envelope)
    if settlement.envelope and settlement.kind == "retry":
        found.words += ("E", settlement.envelope)
        found.count += 1
        found.size += len(settlement.envelope)
    return found
