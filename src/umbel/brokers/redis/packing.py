"""Jobs and settlements as flat arguments of scripts, in chunks that a server handles in a few milliseconds. Pure.

Runs once a job in every process that sends or works: plain loops, no object an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec

from umbel.contracts.broker import Settlement
from umbel.engines.redis_command import Word
from umbel.engines.redis_jobs import due, milliseconds
from umbel.engines.redis_layout import prefix
from umbel.model.flow import Join
from umbel.model.job import MAX_PRIORITY, Counts, Doom, Job

MAX_SETTLED: Final = 256
MAX_SETTLED_BYTES: Final = 1024 * 1024


class Batch(msgspec.Struct, gc=False):
    """Settlements of one queue for one call; *places* are their places in the list that was asked for."""

    queue: str
    script: str = "settle"
    places: list[int] = []
    items: list[Word] = []
    operations: list[Word] = []
    size: int = 0


def batches(settlements: Sequence[Settlement], *, apart: bool = False) -> list[Batch]:
    """*settlements* by queue, in their order. *apart*: follow-ups in other queues go by the outbox of this one."""
    done: list[Batch] = []
    filling: dict[str, Batch] = {}
    alike: tuple[object, ...] = ()
    head = ""
    for place, settlement in enumerate(settlements):
        delivery = settlement.delivery
        kind = settlement.kind
        operations = _operations(settlement, apart=apart) if _has_more(settlement) else _NONE
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
        if operations.joins:
            batch.script = "settle_joins"
        batch.size += size
    return done


def counts_text(counts: Counts) -> str:
    """*counts* as they are stored; the mark is not: it was for a delivery that is over."""
    return f"{counts.retries}:{counts.crashes}:{counts.losses}:{counts.doom}-"


def counts_of(text: bytes) -> Counts:
    """The counts in *text*."""
    retries, crashes, losses, rest = text.split(b":")
    doom = cast("Doom", rest[:-1].decode())
    return Counts(int(retries), int(crashes), int(losses), rest[-1:] == b"q", doom)


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """What one settlement leaves for other nodes of a Cluster, in the order in which it is delivered.

    *added* is (home, flow, node, by whom), *jobs* are (id, queue, level, at, envelope), *joins* are (home, flow, node,
    member, value), a value as in the script: after 1, or 0 if it is a failure.
    """

    added: tuple[tuple[str, str, int, str], ...] = ()
    jobs: tuple[tuple[str, str, int, int, bytes], ...] = ()
    joins: tuple[tuple[str, str, int, int, bytes], ...] = ()


def parcel(settlement: Settlement) -> Parcel:
    """What leaves the queue of *settlement* beside plain follow-ups: joins and new members of flows with other homes.

    A node must have heard of a new member before that can join it: so where a node with another home has one, all
    follow-ups go this way.
    """
    home = settlement.delivery.queue
    added = tuple(
        (place, flow, node, f"{settlement.delivery.id}:{number}")
        for number, (flow, place, node) in enumerate(settlement.added)
        if place != home
    )
    follow_ups = settlement.follow_ups if added else ()
    return Parcel(
        added,
        tuple((job.id, job.queue, job.level, due(job), job.envelope) for job in follow_ups),
        tuple(
            (join.home, join.flow, join.node, join.member, _brought(join))
            for join in settlement.joins
            if join.home != home
        ),
    )


def _brought(join: Join) -> bytes:
    return (b"0" if join.failed else b"1") + join.value


def parcel_name(settlement: Settlement) -> str:
    """Under which name the parcel of *settlement* lies in the outbox; no job has such an id."""
    return f"#{settlement.delivery.id}"


class _Operations(msgspec.Struct, gc=False):
    """What happens beside one verdict: follow-up jobs, a new envelope, joins."""

    words: list[Word] = []
    count: int = 0
    size: int = 0
    joins: bool = False

    def add(self, *words: Word, size: int = 0) -> None:
        """One operation more, whose payload has *size* bytes."""
        self.words += words
        self.count += 1
        self.size += size


_NONE: Final = _Operations()
_encode: Final = msgspec.msgpack.encode
_TERMINAL: Final = frozenset({"end", "dead"})


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


def _has_more(settlement: Settlement) -> bool:
    return bool(settlement.follow_ups or settlement.envelope or settlement.joins or settlement.added)


def _operations(settlement: Settlement, *, apart: bool) -> _Operations:
    found = _Operations()
    follow_ups = settlement.follow_ups
    if settlement.joins or settlement.added:
        follow_ups = _flows(found, settlement, apart=apart)
    for job in follow_ups:
        kind, place = ("O", job.queue) if apart and job.queue != settlement.delivery.queue else ("J", prefix(job.queue))
        found.add(kind, place, job.id, MAX_PRIORITY - job.priority, due(job), job.envelope, size=len(job.envelope))
    if settlement.envelope and settlement.kind == "retry":
        found.add("E", settlement.envelope, size=len(settlement.envelope))
    return found


def _flows(found: _Operations, settlement: Settlement, *, apart: bool) -> tuple[Job, ...]:
    """The operations on flows; answers the follow-ups that are left to be sent."""
    found.joins = True
    home, job_id = settlement.delivery.queue, settlement.delivery.id
    left = parcel(settlement) if apart else Parcel()
    if left != Parcel():
        text = _encode(left)
        found.add("P", parcel_name(settlement), text, size=len(text))
    for number, (flow, place, node) in enumerate(settlement.added):
        if not apart or place == home:
            found.add("A", prefix(place), flow, node, f"{job_id}:{number}")
    for join in settlement.joins:
        if not apart or join.home == home:
            words = prefix(join.home), join.flow, join.node, join.member, _brought(join)
            found.add("N", *words, size=len(join.value))
    return () if left.jobs else settlement.follow_ups
