"""What Redis can tell of the jobs it holds, as generators of script calls. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.operations import Steps
from umbel.brokers.redis.packing import counts_of
from umbel.claims.sessions import merged
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines.redis_command import Command
from umbel.engines.redis_layout import QUEUES
from umbel.model.job import FIRST

UNKNOWN: Final = Location("unknown")
ALL_QUEUES: Final = Command((b"SMEMBERS", QUEUES))
"""The call that tells the names of all queues."""


def queues() -> Steps[list[str]]:
    """The names of all queues ever used, sorted."""
    (reply,) = yield [ALL_QUEUES]
    return decoded(reply)


def decoded(reply: Iterable[bytes]) -> list[str]:
    """The names in the *reply* to `ALL_QUEUES`, sorted."""
    return sorted(name.decode() for name in reply)


def counts(calls: Calls, names: Sequence[str]) -> Steps[list[QueueCounts]]:
    """How many jobs are where."""
    replies = (yield [calls.make("counts", name) for name in names]) if names else []
    return [QueueCounts(name, *reply) for name, reply in zip(names, replies, strict=True)]


def sessions(calls: Calls, names: Sequence[str]) -> Steps[list[SessionInfo]]:
    """Each open session once: the shortest lease, the jobs of all queues."""
    replies = (yield [calls.make("sessions", name) for name in names]) if names else []
    return merged(entry for reply in replies for entry in reply)


def locate(calls: Calls, job_id: str, queue: str | None) -> Steps[Location]:
    """Where *job_id* is; in every queue if *queue* is None."""
    names = [queue] if queue is not None else (yield from queues())
    if not names:
        return UNKNOWN
    replies = yield [calls.make("locate", name, (job_id,)) for name in names]
    for name, (place, text, note) in zip(names, replies, strict=True):
        if place != b"unknown":
            counts = FIRST if text is None else counts_of(text)
            return Location(place.decode(), name, counts.retries, counts.doom, note or b"")
    return UNKNOWN
