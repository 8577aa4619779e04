"""The verbs of supervisors as steps: sessions open, beat and die, and what they held comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from umbel.brokers.sqlite.operations import MAX_PROMOTED, RECEIVE, name_queues, promote
from umbel.contracts.broker import Beat, Ended
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock, Lifeline, boot_id
from umbel.engines.sqlite_statements import statements
from umbel.model.job import Delivery

MAX_MOVED: Final = MAX_PROMOTED
MAX_EXPIRED: Final = 1000
"""Records deleted in one transaction: a few ms, so that no writer waits for the cleaning."""
REMEMBERED_MS: Final = 86_400_000
DEAD_LETTER_MS: Final = 30 * 86_400_000
MAX_DEAD_LETTERS: Final = 100_000
_NO_LIMIT: Final = -1

HEARTBEAT: Final = statements("umbel.brokers.sqlite.queries", "heartbeat.sql")
RECLAIM: Final = statements("umbel.brokers.sqlite.queries", "reclaim.sql")
UNPARK: Final = statements("umbel.brokers.sqlite.queries", "unpark.sql")

_Held: TypeAlias = tuple[int, str, str, int, int]
_Charge: TypeAlias = Callable[[str, bool], tuple[int, int]]


class Moved(msgspec.Struct, frozen=True):
    """What a reclaim did. Times are ms from now; *rung* says how many waiters to wake in which queue."""

    promoted: int
    returned: int
    next_due: int | None
    next_deadline: int | None
    rung: Counter[str]
    lifelines: set[str]


def open_sessions(
    connection: Connection, clock: Clock, beats: Sequence[Beat], queues: Sequence[str], lease: tuple[float, str]
) -> list[bool]:
    """Open sessions; *lease* is seconds and the name of the lifeline. False for one that is or was open."""
    seconds, lifeline = lease
    until, names = clock.lease() + round(seconds * 1000), msgspec.json.encode(list(queues)).decode()
    name_queues(connection, queues)
    return [
        connection.execute(
            HEARTBEAT["open"], (beat.session, until, boot_id(), lifeline, names, beat.info)
        ).fetchone()
        is not None
        for beat in beats
    ]


def renew(connection: Connection, clock: Clock, beats: Sequence[Beat], lease: float) -> list[bool]:
    """Renew leases for *lease* seconds; False for a dead session."""
    until = clock.lease() + round(lease * 1000)
    return [
        connection.execute(HEARTBEAT["renew"], (beat.session, until, beat.info)).fetchone() is not None
        for beat in beats
    ]


def reconcile(connection: Connection, session: str, held: Sequence[Delivery]) -> Counter[str] | None:
    """Return what *session* holds beyond *held*; answers how many jobs of which queue, None when it is dead."""
    found = connection.execute(RECEIVE["session"], (session,)).fetchone()
    if found is None:
        return None
    listed = {(delivery.id, delivery.number) for delivery in held}
    rows: list[_Held] = connection.execute(RECLAIM["held"], (found[0], _NO_LIMIT)).fetchall()
    return _return(connection, [row for row in rows if (row[1], row[3]) not in listed], lambda _id, _marked: (0, 0))


def reclaim(
    connection: Connection, clock: Clock, queues: Sequence[str], ended: Sequence[Ended], lifeline: Lifeline
) -> Moved:
    """Make due jobs ready and return those of sessions in *queues* that ended or lapsed; at most 200 in all."""
    rung: Counter[str] = Counter()
    now, dues = clock.wall(), list[int]()
    for queue in queues:
        promoted, due = promote(connection, queue, now, MAX_MOVED - rung.total())
        rung[queue] += promoted
        dues += [due - now] if due is not None else []
    promoted = rung.total()
    gone = {each.session: frozenset(each.started) for each in ended}
    deadlines, lifelines = list[int](), set[str]()
    for key, name, until, boot, line, names, death in connection.execute(RECLAIM["sessions"]).fetchall():
        lifelines.add(line)
        if not set(queues).intersection(msgspec.json.decode(names)):
            continue
        left = until - clock.lease()
        if name in gone:
            charge: _Charge = _charge_started(gone[name])
        elif death is not None or left <= 0 or boot != boot_id() or lifeline.is_cut(line):
            charge = _charge_lost
        else:
            deadlines.append(left)
            continue
        connection.execute(RECLAIM["bury"], (now, key))
        rows = connection.execute(RECLAIM["held"], (key, max(0, MAX_MOVED - rung.total()))).fetchall()
        rung += _return(connection, rows, charge)
    returned = rung.total() - promoted
    for queue in queues:  # repairs a wake-up that died with the process it was meant for
        rung[queue] += connection.execute(RECEIVE["left"], (queue,)).fetchone() is not None
    return Moved(promoted, returned, min(dues, default=None), min(deadlines, default=None), rung, lifelines)


def _charge_started(started: frozenset[str]) -> _Charge:
    return lambda job_id, _: (1, 0) if job_id in started else (0, 0)


def _charge_lost(_: str, marked: bool) -> tuple[int, int]:
    return (1, 0) if marked else (0, 1)


def _return(connection: Connection, rows: Sequence[_Held], charge: _Charge) -> Counter[str]:
    connection.executemany(
        RECLAIM["back"], [(*charge(job_id, bool(marked)), seq) for seq, job_id, _, _, marked in rows]
    )
    return Counter(row[2] for row in rows)


def expire(connection: Connection, clock: Clock) -> int:
    """Delete records and claims that have expired, at most `MAX_EXPIRED`; answers how many records."""
    now = clock.wall()
    connection.execute(RECLAIM["expire_claims"], (now, MAX_EXPIRED))
    return len(connection.execute(RECLAIM["expire"], (now, MAX_EXPIRED)).fetchall())


def tidy(connection: Connection, clock: Clock, queues: Sequence[str]) -> None:
    """Forget sessions that died long ago, and dead letters that are too old or too many."""
    now = clock.wall()
    connection.execute(RECLAIM["forget"], (now - REMEMBERED_MS,))
    for queue in queues:
        connection.execute(RECLAIM["trim"], (queue, now - DEAD_LETTER_MS, MAX_DEAD_LETTERS))


def unpark(connection: Connection, queues: Sequence[str], tasks: Sequence[str]) -> Counter[str]:
    """Make ready what is parked for *tasks*; answers how many jobs of which queue."""
    moved: Counter[str] = Counter()
    for queue in queues:
        keys = [row[0] for task in tasks for row in connection.execute(UNPARK["parked"], (queue, task))]
        position = time.time_ns()
        connection.executemany(UNPARK["unpark"], [(position + index, key) for index, key in enumerate(keys)])
        moved[queue] += len(keys)
    return +moved
