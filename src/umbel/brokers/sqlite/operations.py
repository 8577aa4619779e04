"""The verbs of producers and children as steps: each runs inside one transaction, and again if that fails."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from umbel.brokers.sqlite.gates import release_due
from umbel.contracts.broker import Settlement
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.engines.statements import statements
from umbel.model.job import FIRST, Counts, Delivery, Doom, Job

READY: Final = 0
HELD: Final = 1
DEAD: Final = 2
PARKED: Final = 3
DELAYED: Final = 4
LIMITED: Final = 5

DOOMS: Final[dict[int, Doom]] = {0: "", 1: "revoked", 2: "timeout", 3: "memory"}
"""By their numbers in the table."""
DOOM_NUMBERS: Final = {doom: number for number, doom in DOOMS.items()}

MAX_RECEIVED: Final = 256
MAX_RECEIVED_BYTES: Final = 1024 * 1024
MAX_PROMOTED: Final = 200

SEND: Final = statements("umbel.brokers.sqlite.queries", "send.sql")
RECEIVE: Final = statements("umbel.brokers.sqlite.queries", "receive.sql")
SETTLE: Final = statements("umbel.brokers.sqlite.queries", "settle.sql")


class Place(NamedTuple):
    """A session in one queue: the key of its row, and its last receive number."""

    key: int
    received: int


class Received(msgspec.Struct, frozen=True):
    """What a receive found. *next_due* is unix ms; *left* names a queue in which something is ready or delayed.

    *rung* are the jobs that it sent besides, a queue.
    """

    deliveries: list[Delivery]
    next_due: int | None = None
    left: str = ""
    dead: bool = False
    rung: Counter[str] = msgspec.field(default_factory=Counter)


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
    connection: Connection, clock: Clock, session: tuple[str, int], queues: Sequence[str], limit: int
) -> Received:
    """Lease up to *limit* ready jobs to *session*, its id and its receive number, from *queues* in this order."""
    name, number = session
    alive = {queue: place for queue, *place in connection.execute(RECEIVE["open"], (name,))}
    if alive.keys().isdisjoint(queues):
        return Received([], dead=True)
    keys: dict[str, int] = {}
    alarms: dict[str, float] = {}
    for queue in queues:
        key, received, paused, alarm = alive.get(queue, (0, number, 0, None))
        if number > received and not paused:
            keys[queue] = key
            alarms |= {} if alarm is None else {queue: alarm}
    now = clock.wall()
    dues = [due for queue in keys if (due := promote(connection, queue, now, MAX_PROMOTED)[1]) is not None]
    for queue, alarm in alarms.items():
        later = alarm if alarm > now else release_due(connection, now, queue, MAX_PROMOTED)[1]
        dues += [] if later is None else [math.ceil(later)]
    picked = _ready(connection, list(keys), min(limit, MAX_RECEIVED))
    deliveries = list(_take(connection, keys, number, picked))
    if deliveries:  # a receive that hands out nothing needs no number, so a child that looks in vain writes nothing
        connection.executemany(RECEIVE["received"], [(number, key) for key in keys.values()])
    return Received(deliveries, min(dues, default=None), _left(connection, keys) if deliveries else "")


def places(connection: Connection, session: str) -> dict[str, Place]:
    """Where *session* is alive: by queue its key and its last receive number."""
    return {queue: Place(key, received) for queue, key, received in connection.execute(RECEIVE["session"], (session,))}


def promote(connection: Connection, queue: str, now: int, limit: int) -> tuple[int, int | None]:
    """Make ready what is due in *queue*; answers how many became ready, and when the next one is due (unix ms)."""
    first = _value(connection, RECEIVE["next_due"], queue)
    if first is None or first > now or limit <= 0:
        return 0, first
    position = time.time_ns()
    keys = [row[0] for row in connection.execute(RECEIVE["due"], (queue, now, limit))]
    connection.executemany(RECEIVE["promote"], [(position + index, key) for index, key in enumerate(keys)])
    return len(keys), _value(connection, RECEIVE["next_due"], queue)


def _ready(connection: Connection, queues: Sequence[str], limit: int) -> list[tuple[int, int, str]]:
    found = [(*row, queue) for queue in queues for row in connection.execute(RECEIVE["ready"], (queue, limit))]
    if len(queues) > 1:
        found.sort(key=lambda row: row[1])  # by level; among equals the queue whose turn it is comes first
    return found[:limit]


def _take(
    connection: Connection, keys: dict[str, int], number: int, picked: Iterable[tuple[int, int, str]]
) -> Iterator[Delivery]:
    room = MAX_RECEIVED_BYTES

    def bindings() -> Iterator[tuple[int, int, int]]:
        for seq, _, queue in picked:
            if room <= 0:  # SQLite asks for the next one when the one before was taken
                return
            yield keys[queue], number, seq

    for row in connection.executemany(RECEIVE["take"], bindings()):
        job_id, queue, level, envelope, retries, crashes, losses, marked, doom, back = row
        room -= len(envelope)
        counts = Counts(retries, crashes, losses, bool(marked), DOOMS[doom]) if back else FIRST
        yield Delivery(job_id, queue, level, number, envelope, counts, bool(back))


def _left(connection: Connection, queues: Iterable[str]) -> str:
    for queue in queues:
        if connection.execute(RECEIVE["left"], (queue,)).fetchone() is not None:
            return queue
        if _value(connection, RECEIVE["next_due"], queue) is not None:
            return queue
    return ""


def settle(connection: Connection, clock: Clock, session: str, settlements: Sequence[Settlement]) -> Settled:
    """Carry out verdicts; of a dead session none is ours, and of the same delivery only the first."""
    keys, now = {queue: place.key for queue, place in places(connection, session).items()}, clock.wall()
    first: dict[tuple[str, int], Settlement] = {}
    for each in settlements:
        first.setdefault(_fence(each), each)
    alive = [each for each in first.values() if each.delivery.queue in keys]
    won = set(connection.executemany(SETTLE["end"], _endings(keys, alive)))
    won.update(connection.executemany(SETTLE["move"], _moves(keys, now, alive)))
    ours = [fence in won and first[fence] is each for each in settlements if (fence := _fence(each))]
    done = [each for each, our in zip(settlements, ours, strict=True) if our]
    ended = _record(connection, session, now, done)  # first: its own id is refused as a follow-up
    return Settled(ours, _follow(connection, clock, done), ended)


def _fence(settlement: Settlement) -> tuple[str, int]:
    return settlement.delivery.id, settlement.delivery.number


def _endings(keys: dict[str, int], settlements: Sequence[Settlement]) -> list[tuple[object, ...]]:
    return [
        (each.delivery.id, keys[each.delivery.queue], each.delivery.number)
        for each in settlements
        if each.kind == "end"
    ]


def _moves(keys: dict[str, int], now: int, settlements: Sequence[Settlement]) -> Iterator[tuple[object, ...]]:
    position = time.time_ns()
    for index, each in enumerate(settlements):
        if each.kind == "end":
            continue
        fence = (each.delivery.id, keys[each.delivery.queue], each.delivery.number)
        counts = each.counts
        charged = (None, None, None, 0, 0) if counts is None else _numbers(counts)
        yield (*fence, *_place(each, now, position + index), *charged, each.envelope or None)


def _numbers(counts: Counts) -> tuple[int, int, int, int, int]:
    return counts.retries, counts.crashes, counts.losses, int(counts.marked), DOOM_NUMBERS[counts.doom]


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
        SETTLE["record"], [(each.delivery.id, now + round(each.ttl * 1000), session, each.record, now) for each in over]
    )
    return [each.delivery.id for each in over]


def _follow(connection: Connection, clock: Clock, won: Sequence[Settlement]) -> Counter[str]:
    rung = Counter(each.delivery.queue for each in won if each.kind not in ("end", "dead"))
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
    place = places(connection, session).get(delivery.queue)
    if place is None:
        return False
    return connection.execute(SETTLE["mark"], (delivery.id, place.key, delivery.number)).fetchone() is not None
