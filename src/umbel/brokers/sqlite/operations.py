"""The verbs of producers and children as steps: each runs inside one transaction, and again if that fails."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from umbel.contracts.broker import Settlement
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.engines.sqlite_statements import statements
from umbel.model.job import FIRST, Counts, Delivery, Job

READY: Final = 0
HELD: Final = 1
DEAD: Final = 2
PARKED: Final = 3
DELAYED: Final = 4

MAX_RECEIVED: Final = 256
MAX_RECEIVED_BYTES: Final = 1024 * 1024
MAX_PROMOTED: Final = 200

SEND: Final = statements("umbel.brokers.sqlite.queries", "send.sql")
RECEIVE: Final = statements("umbel.brokers.sqlite.queries", "receive.sql")
SETTLE: Final = statements("umbel.brokers.sqlite.queries", "settle.sql")


class Received(msgspec.Struct, frozen=True):
    """What a receive found. *next_due* is unix ms; *left* names a queue in which something is ready or delayed still."""

    deliveries: list[Delivery]
    next_due: int | None = None
    left: str = ""


class Settled(msgspec.Struct, frozen=True):
    """What a settle did: per item whether it was ours, how many jobs became ready or delayed a queue, and who ended."""

    ours: list[bool]
    rung: Counter[str]
    ended: list[str]


def name_queues(connection: Connection, names: Iterable[str]) -> None:
    """Keep the names of queues that are used for the first time."""
    connection.executemany(SEND["queue"], [(name,) for name in names])


def send(connection: Connection, clock: Clock, jobs: Sequence[Job]) -> Counter[str]:
    """Insert *jobs* unless their ids are known; answers how many waiters to wake in which queue."""
    now, position = clock.wall(), time.time_ns()
    rows: list[tuple[object, ...]] = []
    rung: Counter[str] = Counter()
    earliest: dict[str, int] = {}
    for job in jobs:
        due = now + round(job.delay * 1000) if job.eta is None else round(job.eta * 1000)
        if due > now:
            earliest[job.queue] = min(due, earliest.get(job.queue, due))
            rows.append((job.id, job.queue, job.level, DELAYED, position, due, job.envelope, now))
        else:
            rung[job.queue] += 1
            rows.append((job.id, job.queue, job.level, READY, position, 0, job.envelope, now))
        position += 1
    for queue, due in earliest.items():
        first = _value(connection, SEND["earliest"], queue)
        if first is None or due < first:  # somebody must learn that there is something to do sooner
            rung[queue] += 1
    connection.executemany(SEND["insert"], rows)
    return rung


def receive(
    connection: Connection, clock: Clock, session: str, queues: Sequence[str], limit: int
) -> Received | None:
    """Lease up to *limit* ready jobs to *session*, from *queues* in this order; None when the session is dead."""
    found = connection.execute(RECEIVE["session"], (session,)).fetchone()
    if found is None:
        return None
    key, number = found[0], found[1] + 1
    now = clock.wall()
    dues = [due for queue in queues if (due := promote(connection, queue, now, MAX_PROMOTED)[1]) is not None]
    picked = _ready(connection, queues, min(limit, MAX_RECEIVED))
    deliveries = list(_take(connection, key, number, picked))
    if deliveries:
        connection.execute(RECEIVE["received"], (number, key))
    return Received(deliveries, min(dues, default=None), _left(connection, queues) if deliveries else "")


def promote(connection: Connection, queue: str, now: int, limit: int) -> tuple[int, int | None]:
    """Make ready what is due in *queue*; answers how many became ready, and when the next one is due (unix ms)."""
    first = _value(connection, RECEIVE["next_due"], queue)
    if first is None or first > now or limit <= 0:
        return 0, first
    position = time.time_ns()
    keys = [row[0] for row in connection.execute(RECEIVE["due"], (queue, now, limit))]
    connection.executemany(RECEIVE["promote"], [(position + index, key) for index, key in enumerate(keys)])
    return len(keys), _value(connection, RECEIVE["next_due"], queue)


def _ready(connection: Connection, queues: Sequence[str], limit: int) -> list[int]:
    if len(queues) == 1:
        return [row[0] for row in connection.execute(RECEIVE["ready"], (queues[0], limit))]
    found = [row for queue in queues for row in connection.execute(RECEIVE["ready"], (queue, limit))]
    found.sort(key=lambda row: row[1])  # stable: among equals the queue whose turn it is comes first
    return [row[0] for row in found[:limit]]


def _take(connection: Connection, key: int, number: int, picked: Iterable[int]) -> Iterator[Delivery]:
    room = MAX_RECEIVED_BYTES

    def bindings() -> Iterator[tuple[int, int, int]]:
        for seq in picked:
            if room <= 0:  # SQLite asks for the next one when the one before was taken
                return
            yield key, number, seq

    for row in connection.executemany(RECEIVE["take"], bindings()):
        job_id, queue, level, envelope, retries, crashes, losses, marked, back = row
        room -= len(envelope)
        counts = Counts(retries, crashes, losses, bool(marked)) if back else FIRST
        yield Delivery(job_id, queue, level, number, envelope, counts, bool(back))


def _left(connection: Connection, queues: Sequence[str]) -> str:
    for queue in queues:
        if connection.execute(RECEIVE["left"], (queue,)).fetchone() is not None:
            return queue
        if _value(connection, RECEIVE["next_due"], queue) is not None:
            return queue
    return ""


def settle(connection: Connection, clock: Clock, session: str, settlements: Sequence[Settlement]) -> Settled:
    """Carry out verdicts; of a dead session none is ours."""
    found = connection.execute(RECEIVE["session"], (session,)).fetchone()
    if found is None:
        return Settled([False] * len(settlements), Counter(), [])
    key, now = found[0], clock.wall()
    answered = set(connection.executemany(SETTLE["end"], _endings(key, settlements)))
    answered.update(connection.executemany(SETTLE["move"], _moves(key, now, settlements)))
    ours: list[bool] = []
    for each in settlements:
        fence = (each.delivery.id, each.delivery.number)
        ours.append(fence in answered)
        answered.discard(fence)  # the same verdict twice in a batch: the second one found nothing
    won = [each for each, our in zip(settlements, ours, strict=True) if our]
    return Settled(ours, _follow(connection, clock, won), _record(connection, session, now, won))


def _endings(key: int, settlements: Sequence[Settlement]) -> list[tuple[object, ...]]:
    return [(each.delivery.id, key, each.delivery.number) for each in settlements if each.kind == "end"]


def _moves(key: int, now: int, settlements: Sequence[Settlement]) -> Iterator[tuple[object, ...]]:
    position = time.time_ns()
    for index, each in enumerate(settlements):
        if each.kind == "end":
            continue
        fence = (each.delivery.id, key, each.delivery.number)
        counts = each.counts
        charged = (None, None, None, 0) if counts is None else (*_numbers(counts), int(counts.marked))
        yield (*fence, *_place(each, now, position + index), *charged, each.envelope or None)


def _numbers(counts: Counts) -> tuple[int, int, int]:
    return counts.retries, counts.crashes, counts.losses


def _place(settlement: Settlement, now: int, position: int) -> tuple[int, int | None, int, str | None]:
    """State, position, due and task of a job that does not end; position None keeps the old one: the front."""
    match settlement.kind:
        case "dead":
            return DEAD, None, now, None
        case "park":
            return PARKED, None, 0, settlement.task
        case "retry" if settlement.delay > 0:
            return DELAYED, position, now + max(1, round(settlement.delay * 1000)), None
        case "retry":
            return READY, position, 0, None
        case _:
            return READY, None, 0, None


def _record(connection: Connection, session: str, now: int, won: Sequence[Settlement]) -> list[str]:
    over = [each for each in won if each.kind in ("end", "dead")]
    connection.executemany(
        SETTLE["record"],
        [(each.delivery.id, now + round(each.ttl * 1000), session, each.record, now) for each in over],
    )
    return [each.delivery.id for each in over]


def _follow(connection: Connection, clock: Clock, won: Sequence[Settlement]) -> Counter[str]:
    rung = Counter(each.delivery.queue for each in won if each.kind in ("retry", "release"))
    jobs = [job for each in won for job in each.follow_ups]
    if jobs:
        name_queues(connection, {job.queue for job in jobs})
        rung += send(connection, clock, jobs)
    return rung


def _value(connection: Connection, statement: str, *bindings: str | int) -> int | None:
    row = connection.execute(statement, bindings).fetchone()
    return None if row is None else row[0]


def mark(connection: Connection, session: str, delivery: Delivery) -> bool:
    """Note that *delivery* is about to start alone; False when it is not ours any more."""
    found = connection.execute(RECEIVE["session"], (session,)).fetchone()
    if found is None:
        return False
    return connection.execute(SETTLE["mark"], (delivery.id, found[0], delivery.number)).fetchone() is not None
