"""The verbs of supervisors as steps: sessions open, beat and die, and what they held comes back."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from umbel.brokers.sqlite.gates import Gates, release_due
from umbel.brokers.sqlite.operations import DOOM_NUMBERS, MAX_PROMOTED, RECEIVE, places, promote
from umbel.contracts.broker import Beat, Ended
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock, Lifeline, boot_id
from umbel.engines.statements import statements
from umbel.model.job import Delivery

MAX_MOVED: Final = MAX_PROMOTED
MAX_EXPIRED: Final = 1000
"""Records deleted in one transaction: a few ms, so that no writer waits for the cleaning."""
MIN_HOLD_MS: Final = 3000
REMEMBERED_MS: Final = 86_400_000
STOPPERS_REMEMBERED_MS: Final = 600_000
"""For how long sessions are known that revoked or purged jobs: there is one a call, and each reclaim reads them all."""
DEAD_LETTER_MS: Final = 30 * 86_400_000
MAX_DEAD_LETTERS: Final = 100_000
_NO_LIMIT: Final = -1

HEARTBEAT: Final = statements("umbel.brokers.sqlite.queries", "heartbeat.sql")
RECLAIM: Final = statements("umbel.brokers.sqlite.queries", "reclaim.sql")
UNPARK: Final = statements("umbel.brokers.sqlite.queries", "unpark.sql")

_Held: TypeAlias = tuple[int, str, int, int]
_Charge: TypeAlias = Callable[[str, bool], tuple[int, int]]


class Terms(NamedTuple):
    """On what terms sessions live here: now and the length of a lease in ms, and the lifeline of this process."""

    now: int
    lease: int
    lifeline: Lifeline


class Lease(NamedTuple):
    """A session in one queue, as its row tells."""

    key: int
    id: str
    until: int
    boot: str
    lifeline: str
    ended: int | None


class Moved(msgspec.Struct):
    """What a reclaim did. Dues and deadlines are ms from now; *rung* says in which queues to wake somebody."""

    promoted: int = 0
    returned: int = 0
    dues: list[int] = []
    deadlines: list[int] = []
    rung: Counter[str] = msgspec.field(default_factory=Counter)


def open_sessions(connection: Connection, terms: Terms, beats: Sequence[Beat], queues: Sequence[str]) -> list[bool]:
    """Open sessions in *queues*; False for one that is or was open in one of them."""
    line, until = terms.lifeline.hold(), terms.now + terms.lease
    for queue in queues:
        note_contact(connection, terms, queue)
    answers: list[bool] = []
    for beat in beats:
        known = [connection.execute(HEARTBEAT["known"], (beat.session, queue)).fetchone() for queue in queues]
        answers.append(not any(known))
        if answers[-1]:
            rows = [(beat.session, queue, until, boot_id(), line, beat.info) for queue in queues]
            connection.executemany(HEARTBEAT["open"], rows)
    return answers


def renew(connection: Connection, terms: Terms, beats: Sequence[Beat], queues: Sequence[str]) -> list[bool]:
    """Renew leases in *queues*; False for a session that is dead in one of them."""
    until = terms.now + terms.lease
    for queue in queues:
        note_contact(connection, terms, queue)
    return [
        len(
            connection.executemany(
                HEARTBEAT["renew"], [(beat.session, each, until, beat.info) for each in queues]
            ).fetchall()
        )
        == len(queues)
        for beat in beats
    ]


def note_contact(connection: Connection, terms: Terms, queue: str) -> int:
    """Note that a supervisor looks after *queue*; answers until when no lease may end there.

    If none did for half a lease, the machine slept or all were stopped: their leases get half a lease to be renewed.
    """
    contact: tuple[int | None, int] = connection.execute(RECLAIM["contact"], (queue,)).fetchone() or (None, 0)
    seen, hold = contact
    if seen is not None and abs(terms.now - seen) > terms.lease / 2:
        hold = terms.now + max(terms.lease // 2, MIN_HOLD_MS)
    connection.execute(RECLAIM["note"], (queue, terms.now, hold))
    return hold


def reconcile(
    connection: Connection, session: tuple[str, int], queues: Sequence[str], held: Sequence[Delivery]
) -> Counter[str] | None:
    """Return what *session*, its id and a new receive number, holds beyond *held*; how many of which queue, or None."""
    name, number = session
    alive = places(connection, name)
    if alive.keys().isdisjoint(queues):
        return None
    listed = {(delivery.queue, delivery.id, delivery.number) for delivery in held}
    returned: Counter[str] = Counter()
    for queue in queues:
        place = alive.get(queue)
        if place is None or number <= place.received:
            continue
        connection.execute(RECEIVE["received"], (number, place.key))
        rows = [row for row in _held(connection, place.key, _NO_LIMIT) if (queue, *row[1:3]) not in listed]
        returned[queue] += _return(connection, rows, _free)
    return returned


def reclaim(connection: Connection, terms: Terms, wall: int, queues: Sequence[str], ended: Sequence[Ended]) -> Moved:
    """Make due jobs ready and return those of sessions that ended or lapsed in *queues*; at most 200 in all."""
    moved, gone = Moved(), {each.session: each for each in ended}
    for queue in queues:
        hold = note_contact(connection, terms, queue)
        promoted, due = promote(connection, queue, wall, MAX_MOVED - moved.promoted - moved.returned)
        moved.promoted += promoted
        moved.dues += [due - wall] if due is not None else []
        _release(connection, wall, queue, moved)
        connection.execute(RECLAIM["cut"], (queue, terms.now + 2 * terms.lease))
        for row in connection.execute(RECLAIM["sessions"], (queue,)).fetchall():
            session = Lease(*row)
            charge = _verdict(session, terms, hold, gone)
            if charge is None:
                moved.deadlines.append(max(session.until, hold) - terms.now)
                continue
            connection.execute(RECLAIM["bury"], (wall, session.key))
            if session.id in gone:
                _doom(connection, session.key, gone[session.id])
            limit = MAX_MOVED - moved.promoted - moved.returned
            moved.returned += _return(connection, _held(connection, session.key, limit), charge)
        # Also repairs a wake-up that died with the process it was meant for.
        moved.rung[queue] += connection.execute(RECEIVE["left"], (queue,)).fetchone() is not None
    return moved


def _release(connection: Connection, wall: int, queue: str, moved: Moved) -> None:
    """Forget the places of jobs that are over in *queue*, and release what there is room for."""
    left = max(0, MAX_MOVED - moved.promoted - moved.returned)
    gates = Gates(connection, wall)
    gates.forget("prune", queue)
    gates.finish(left)
    released, due = release_due(connection, wall, queue, left - gates.released)
    moved.promoted += gates.released + released
    moved.dues += [math.ceil(due) - wall] if due is not None else []


def _verdict(session: Lease, terms: Terms, hold: int, gone: dict[str, Ended]) -> _Charge | None:
    """What to charge for the jobs of a session that is dead; None while it lives."""
    if session.id in gone:
        doomed = {job_id for job_id, _ in gone[session.id].doomed}
        started = frozenset(gone[session.id].started) - doomed
        return lambda job_id, _: (1, 0) if job_id in started else (0, 0)
    lapsed = session.until <= terms.now and terms.now >= hold
    if lapsed or session.ended is not None or session.boot != boot_id() or terms.lifeline.is_cut(session.lifeline):
        return _lost
    return None


def _doom(connection: Connection, key: int, ended: Ended) -> None:
    rows = [(DOOM_NUMBERS[doom], job_id, key) for job_id, doom in ended.doomed]
    connection.executemany(RECLAIM["doom"], rows)


def _lost(_: str, marked: bool) -> tuple[int, int]:
    # Nobody knows what had started, but a marked job ran alone: it is the one.
    return (1, 0) if marked else (0, 1)


def _free(_: str, __: bool) -> tuple[int, int]:
    return 0, 0


def give_back(connection: Connection, key: int) -> int:
    """Return, uncharged, all that a session holds in one queue; answers how many jobs."""
    return _return(connection, _held(connection, key, _NO_LIMIT), _free)


def _held(connection: Connection, key: int, limit: int) -> list[_Held]:
    return connection.execute(RECLAIM["held"], (key, limit)).fetchall()


def _return(connection: Connection, rows: Sequence[_Held], charge: _Charge) -> int:
    connection.executemany(RECLAIM["back"], [(*charge(job_id, bool(marked)), seq) for seq, job_id, _, marked in rows])
    return len(rows)


def expire(connection: Connection, clock: Clock) -> int:
    """Delete records and claims that have expired, at most `MAX_EXPIRED`; answers how many records."""
    now = clock.wall()
    connection.execute(RECLAIM["expire_claims"], (now, MAX_EXPIRED))
    return len(connection.execute(RECLAIM["expire"], (now, MAX_EXPIRED)).fetchall())


def tidy(connection: Connection, clock: Clock, queues: Sequence[str]) -> set[str]:
    """Forget sessions that died long ago, and dead letters that are too old or too many; answers lifelines in use."""
    now = clock.wall()
    connection.execute(RECLAIM["forget"], (now - REMEMBERED_MS, now - STOPPERS_REMEMBERED_MS))
    for queue in queues:
        connection.execute(RECLAIM["trim"], (queue, now - DEAD_LETTER_MS, MAX_DEAD_LETTERS))
    return {row[0] for row in connection.execute(RECLAIM["lifelines"])}


def unpark(connection: Connection, queues: Sequence[str], tasks: Sequence[str]) -> Counter[str]:
    """Make ready what is parked for *tasks*; answers how many jobs of which queue."""
    moved: Counter[str] = Counter()
    for queue in queues:
        keys = [row[0] for task in tasks for row in connection.execute(UNPARK["parked"], (queue, task))]
        position = time.time_ns()
        connection.executemany(UNPARK["unpark"], [(position + index, key) for index, key in enumerate(keys)])
        moved[queue] += len(keys)
    return +moved
