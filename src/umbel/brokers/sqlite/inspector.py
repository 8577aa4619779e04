"""Where jobs are, as reading steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from umbel.brokers.sqlite.operations import DEAD, DELAYED, DOOMS, HELD, LIMITED, PARKED, READY
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.engines.statements import statements
from umbel.states import Place

INSPECT: Final = statements("umbel.brokers.sqlite.queries", "inspect.sql")
_LEVELS: Final = range(10)
_PLACES: Final[dict[int, Place]] = {
    READY: "ready", HELD: "running", DEAD: "dead", PARKED: "parked", DELAYED: "delayed",
    LIMITED: "held",
}  # fmt: skip


def queues(connection: Connection) -> list[str]:
    """All names of queues, sorted."""
    return [row[0] for row in connection.execute(INSPECT["queues"])]


def counts(connection: Connection, clock: Clock, names: Sequence[str]) -> list[QueueCounts]:
    """Exact numbers for each of *names*; a delayed job that is due counts as ready, whoever makes it so."""
    found: list[QueueCounts] = []
    for name in names:
        row = connection.execute(INSPECT["counts"], (name, clock.wall())).fetchall()
        ready, delayed, due, running, parked, dead, held = row[0]
        oldest = _oldest(connection, name) or (_first_due(connection, name, clock) if due else None)
        found.append(QueueCounts(name, ready + due, delayed - due, running, parked, dead, oldest, held))
    return found


def _oldest(connection: Connection, queue: str) -> bytes | None:
    firsts = (connection.execute(INSPECT["first"], (queue, level)).fetchone() for level in _LEVELS)
    oldest: tuple[int, bytes | None] = min((row for row in firsts if row is not None), default=(0, None))
    return oldest[1]


def _first_due(connection: Connection, queue: str, clock: Clock) -> bytes | None:
    row: tuple[bytes] | None = connection.execute(INSPECT["first_due"], (queue, clock.wall())).fetchone()
    return None if row is None else row[0]


def sessions(connection: Connection, clock: Clock, names: Sequence[str]) -> list[SessionInfo]:
    """The open sessions of queues *names*."""
    now, found = clock.lease(), dict[str, SessionInfo]()
    for name in names:
        for key, session, info, until in connection.execute(INSPECT["sessions"], (name,)).fetchall():
            held = tuple(row[0] for row in connection.execute(INSPECT["held"], (key,)))
            before = found[session].held if session in found else ()
            found[session] = SessionInfo(session, info, (until - now) / 1000, before + held)
    return list(found.values())


def locate(connection: Connection, clock: Clock, job_id: str, queue: str | None) -> Location:
    """Where *job_id* is; *queue* None looks in every queue."""
    now = clock.wall()
    row = connection.execute(INSPECT["job"], (job_id,)).fetchone()
    if row is not None and queue in (None, row[0]):
        name, state, due, retries, doom, note = row
        return Location(place_of(state, due, now), name, retries, DOOMS[doom], note or b"")
    ended = connection.execute(INSPECT["ended"], (job_id, now)).fetchone() is not None
    return Location("ended", queue or "") if ended else Location("unknown")


def place_of(state: int, due: int, now: int) -> Place:
    """The place of a job; a delayed one that is due by *now* is ready, whoever makes it so."""
    return "ready" if state == DELAYED and due <= now else _PLACES[state]
