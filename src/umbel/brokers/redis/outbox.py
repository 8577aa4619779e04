"""What a settle leaves for queues on other nodes of a Cluster, which no script of their job's queue can reach.

The settle leaves it in the outbox of its own queue, in the same step as the verdict. Whoever settled then sends it on;
what a process leaves behind that dies in between is sent by the next `reclaim`. Sending twice is harmless.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.packing import Parcel, parcel, parcel_name
from umbel.contracts.broker import Settlement
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_jobs import chunks, posted
from umbel.model.job import MAX_PRIORITY, Job

_MAX_EMPTIED: Final = 200
_EMPTY: Final = Parcel()

_Posting: TypeAlias = Generator[Sequence[Command], list[Any], None]
_parcels: Final = msgspec.msgpack.Decoder(Parcel)


def delivered(calls: Calls, settlements: Sequence[Settlement]) -> _Posting:
    """Send what *settlements* left, which were carried out, and take it from their outboxes."""
    homes: set[str] = set()
    for home, items in _by_queue(settlements).items():
        parcels = {parcel_name(item): parcel(item) for item in items}
        parcels = {name: each for name, each in parcels.items() if each != _EMPTY}
        moved = {job[0] for each in parcels.values() for job in each.jobs}
        jobs = [job for item in items for job in item.follow_ups if job.queue != home and job.id not in moved]
        yield from _sent(calls, home, jobs, parcels)
        homes.update(join.home for item in items for join in item.joins)
    yield from flushed(calls, sorted(homes))


def emptied(calls: Calls, queues: Sequence[str]) -> Generator[Sequence[Command], list[Any], int]:
    """Send what lies in the outboxes of *queues*, at most 200 of each; answers how many."""
    replies = yield [Command((b"HRANDFIELD", _outbox(calls, queue), _MAX_EMPTIED, b"WITHVALUES")) for queue in queues]
    for queue, found in zip(queues, replies, strict=True):
        if found:
            jobs = [posted(name, text) for name, text in found if not name.startswith(b"#")]
            parcels = {name.decode(): _parcels.decode(text) for name, text in found if name.startswith(b"#")}
            yield from _sent(calls, queue, jobs, parcels)
    return sum(len(found or ()) for found in replies)


def flushed(calls: Calls, homes: Sequence[str]) -> _Posting:
    """Send all that nodes of flows which live with *homes* have opened for other queues."""
    for home in homes:
        while True:
            (more,) = yield [calls.make("flow_post", home, (_MAX_EMPTIED,))]
            if not (yield from emptied(calls, [home])) and not more:
                break


def _sent(calls: Calls, home: str, jobs: Sequence[Job], parcels: dict[str, Parcel]) -> _Posting:
    """Send *jobs* and *parcels* of the outbox of *home*; only then are they out of it."""
    yield from _joined(calls, [("A", *each) for found in parcels.values() for each in found.added])
    jobs = [*jobs, *(_job(*each) for found in parcels.values() for each in found.jobs)]
    if jobs:
        yield [calls.register({job.queue for job in jobs})]  # the name first: a queue that holds jobs is always found
        yield [calls.make("send", queue, words) for queue, words in chunks(jobs)]
    yield from _joined(calls, [("N", *each) for found in parcels.values() for each in found.joins])
    names = [*(job.id for job in jobs), *parcels]
    if names:
        yield [Command((b"HDEL", _outbox(calls, home), *names))]


def _joined(calls: Calls, operations: Sequence[tuple[Any, ...]]) -> _Posting:
    """Carry out *operations*, (kind, home, flow, node, …), each home's in one step."""
    homes: dict[str, dict[tuple[Any, ...], list[Word]]] = {}
    for kind, home, flow, node, *words in operations:
        alike = (kind, flow, node) if kind == "N" else (kind, flow, node, *words)
        homes.setdefault(home, {}).setdefault(alike, []).extend(words)
    if homes:
        yield [calls.make("flow_join", home, list(_flat(groups))) for home, groups in homes.items()]


def _flat(groups: dict[tuple[Any, ...], list[Word]]) -> Iterable[Word]:
    for head, words in groups.items():
        yield from head
        if head[0] == "N":
            yield len(words) // 2
            yield from words[::2]
            yield from words[1::2]


def _job(job_id: str, queue: str, level: int, at: int, envelope: bytes) -> Job:
    if at > 0:
        return Job(job_id, queue, envelope, MAX_PRIORITY - level, eta=at / 1000)
    return Job(job_id, queue, envelope, MAX_PRIORITY - level, delay=-at / 1000)


def _by_queue(settlements: Sequence[Settlement]) -> dict[str, list[Settlement]]:
    found: dict[str, list[Settlement]] = {}
    for item in settlements:
        found.setdefault(item.delivery.queue, []).append(item)
    return found


def _outbox(calls: Calls, queue: str) -> bytes:
    return calls.place(queue) + b"outbox"
