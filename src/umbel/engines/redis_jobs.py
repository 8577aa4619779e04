"""Jobs as flat arguments of scripts, in chunks that a server handles in a few milliseconds. Pure.

Runs once a job in every process that sends: plain loops, no object an item.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from umbel.engines.redis_command import Word
from umbel.model.job import MAX_PRIORITY, Job

MAX_SENT: Final = 500
MAX_SENT_BYTES: Final = 4 * 1024 * 1024


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
        words += (job.id, MAX_PRIORITY - job.priority, due(job) if job.delay or job.eta else 0, envelope)
        sizes[queue] += len(envelope)
        if len(words) >= 4 * MAX_SENT or sizes[queue] >= MAX_SENT_BYTES:
            yield queue, gathered.pop(queue)
    yield from gathered.items()


def due(job: Job) -> int:
    """When *job* is to start: 0 at once, > 0 at that millisecond, < 0 in so many of them."""
    if job.eta is not None:
        return max(0, milliseconds(job.eta))
    return -milliseconds(max(0.0, job.delay))


def posted(job_id: bytes, text: bytes) -> Job:
    """The follow-up that lies in an outbox under *job_id* as *text*: ``level at length queue envelope``."""
    level, at, length, rest = text.split(b" ", 3)
    end = int(length)
    eta = int(at) / 1000 if int(at) else None
    return Job(job_id.decode(), rest[:end].decode(), rest[end:], MAX_PRIORITY - int(level), eta=eta)


def milliseconds(seconds: float) -> int:
    """*seconds* in whole milliseconds, never less: a job is not due before its time."""
    return math.ceil(seconds * 1000)
