"""Follow-ups for queues on other nodes of a Cluster, which no script of their job's queue can reach.

The settle leaves them in the outbox of its own queue, in the same step as the verdict. Whoever settled then sends them
on; what a process leaves behind that dies in between is sent by the next `reclaim`. Sending twice is harmless.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.packing import chunks, posted
from umbel.contracts.broker import Settlement
from umbel.engines.redis_command import Command
from umbel.model.job import Job

_MAX_EMPTIED: Final = 200


def delivered(calls: Calls, settlements: Sequence[Settlement]) -> Generator[Sequence[Command], list[Any], None]:
    """Send the follow-ups of *settlements*, which were carried out, and take them from their outboxes."""
    posts: dict[str, list[Job]] = {}
    for settlement in settlements:
        home = settlement.delivery.queue
        others = [job for job in settlement.follow_ups if job.queue != home]
        if others:
            posts.setdefault(home, []).extend(others)
    for home, jobs in posts.items():
        yield from _sent(calls, home, jobs)


def emptied(calls: Calls, queues: Sequence[str]) -> Generator[Sequence[Command], list[Any], None]:
    """Send what lies in the outboxes of *queues*, at most 200 jobs of each."""
    replies = yield [Command((b"HRANDFIELD", _outbox(calls, queue), _MAX_EMPTIED, b"WITHVALUES")) for queue in queues]
    for queue, found in zip(queues, replies, strict=True):
        if found:
            yield from _sent(calls, queue, [posted(job_id, text) for job_id, text in found])


def _sent(calls: Calls, home: str, jobs: Sequence[Job]) -> Generator[Sequence[Command], list[Any], None]:
    # The name first, the jobs second, and only then are they out of here.
    yield [calls.register({job.queue for job in jobs})]
    yield [calls.make("send", queue, words) for queue, words in chunks(jobs)]
    yield [Command((b"HDEL", _outbox(calls, home), *(job.id for job in jobs)))]


def _outbox(calls: Calls, queue: str) -> bytes:
    return calls.place(queue) + b"outbox"
