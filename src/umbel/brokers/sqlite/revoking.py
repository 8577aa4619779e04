"""The verbs that stop single jobs, as steps: jobs that wait are leased to whoever revokes, the others are doomed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from umbel.brokers.sqlite import nodes, sessions
from umbel.brokers.sqlite.inspector import INSPECT, place_of
from umbel.brokers.sqlite.operations import DOOM_NUMBERS, DOOMS, Settled, places
from umbel.brokers.sqlite.sessions import RECLAIM, Terms
from umbel.contracts.broker import SessionDead, Settlement
from umbel.contracts.jobs import MAX_TAKEN, WAITING, Revoked
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock, boot_id
from umbel.engines.statements import statements
from umbel.model.job import Counts, Delivery
from umbel.states import Place

JOBS: Final = statements("umbel.brokers.sqlite.queries", "jobs.sql")
MAX_PURGED_BYTES: Final = 16 * 1024 * 1024
_REVOKED: Final = DOOM_NUMBERS["revoked"]


class Found(NamedTuple):
    """A job of which somebody asks, wherever it is; *holder* is the session that has it."""

    key: int
    holder: str | None
    place: Place
    delivery: Delivery


class Lessee:
    """The new session to which jobs are leased; it is opened in each queue that it gets a job of."""

    def __init__(self, connection: Connection, terms: Terms, session: str) -> None:
        self._connection = connection
        self._terms = terms
        self.session = session
        self._keys: dict[str, int] = {}

    def key(self, queue: str) -> int:
        """The key of the session in *queue*. Raises `SessionDead` if it is over there."""
        if queue not in self._keys:
            known = self._connection.execute(JOBS["session"], (self.session, queue)).fetchone()
            if known is not None and known[1] is not None:
                raise SessionDead(self.session)
            self._keys[queue] = known[0] if known is not None else self._opened(queue)
        return self._keys[queue]

    def _opened(self, queue: str) -> int:
        until, lifeline = self._terms.now + self._terms.lease, self._terms.lifeline.hold()
        row = (self.session, queue, until, boot_id(), lifeline)
        key: int = self._connection.execute(JOBS["open"], row).fetchall()[0][0]
        return key


def revoke(
    connection: Connection, clock: Clock, lessee: Lessee, keys: Sequence[tuple[str, str | None]]
) -> list[Revoked]:
    """Doom the jobs of *keys* and lease those that wait to *lessee*; answers one by one."""
    now = clock.wall()
    found = [_find(connection, now, *key) for key in keys]
    known = [each for each in found if each is not None]
    _seize(connection, lessee, (each for each in known if each.place in WAITING))
    running = [(_REVOKED, each.key) for each in known if each.place == "running"]
    connection.executemany(JOBS["doom"], running)
    return [
        _told(each, lessee.session) if each is not None else _over(connection, now, *key)
        for key, each in zip(keys, found, strict=True)
    ]


def purge(connection: Connection, clock: Clock, lessee: Lessee, queue: str, limit: int) -> list[Delivery]:
    """Doom and lease to *lessee* up to *limit* jobs that wait in *queue*, and not much more than 16 MiB of them."""
    taken: list[Found] = []
    room = MAX_PURGED_BYTES
    for each in _purged(connection, clock.wall(), (lessee.session, queue, min(limit, MAX_TAKEN))):
        taken.append(each)
        room -= len(each.delivery.envelope)
        if len(taken) >= min(limit, MAX_TAKEN) or room <= 0:
            break
    _seize(connection, lessee, taken)
    return [each.delivery for each in taken]


def end(connection: Connection, clock: Clock, session: str, settlements: Sequence[Settlement]) -> Settled:
    """Carry out verdicts, close *session* everywhere and return, uncharged, what it still holds."""
    settled = nodes.settle(connection, clock, session, settlements)
    rung: Counter[str] = Counter()
    for queue, place in places(connection, session).items():
        connection.execute(RECLAIM["bury"], (clock.wall(), place.key))
        rung[queue] += sessions.give_back(connection, place.key)
    return replace(settled, rung=settled.rung + rung)


def revive(connection: Connection, queue: str, ids: Sequence[str]) -> list[bool]:
    """Make dead letters ready again, at the end of their level, and delete their records."""
    position = time.time_ns()
    revived = [
        connection.execute(JOBS["revive"], (job_id, queue, position + index)).fetchone() is not None
        for index, job_id in enumerate(ids)
    ]
    gone = [(job_id,) for job_id, was_dead in zip(ids, revived, strict=True) if was_dead]
    connection.executemany(JOBS["unrecord"], gone)
    return revived


def discard(connection: Connection, queue: str, ids: Sequence[str]) -> list[bool]:
    """Delete dead letters."""
    return [connection.execute(JOBS["discard"], (job_id, queue)).fetchone() is not None for job_id in ids]


def note(
    connection: Connection, session: str, notes: Sequence[tuple[Delivery, bytes]], statement: str = "note"
) -> list[bool]:
    """Keep notes with the jobs that *session* holds, or, with the *statement* "amend", other envelopes."""
    alive = places(connection, session)
    return [
        delivery.queue in alive and _note(connection, alive[delivery.queue].key, delivery, (statement, text))
        for delivery, text in notes
    ]


def _note(connection: Connection, key: int, delivery: Delivery, said: tuple[str, bytes]) -> bool:
    statement, text = said
    row = connection.execute(JOBS[statement], (delivery.id, key, delivery.number, text)).fetchone()
    return row is not None


def _find(connection: Connection, now: int, job_id: str, queue: str | None) -> Found | None:
    row = connection.execute(JOBS["find"], (job_id,)).fetchone()
    return None if row is None or queue not in (None, row[2]) else _found(now, *row)


def _purged(connection: Connection, now: int, whose: tuple[str, str, int]) -> Iterator[Found]:
    """What a session holds in a queue, and then what waits there; *whose* are the two and a limit."""
    for name in ("held", "ready", "delayed", "limited", "parked"):
        for row in connection.execute(JOBS[name], whose):
            yield _found(now, *row)


def _found(now: int, key: int, holder: str | None, queue: str, state: int, due: int, *job: Any) -> Found:
    job_id, level, envelope, retries, crashes, losses, marked, doom, back = job
    counts = Counts(retries, crashes, losses, bool(marked), DOOMS[doom or _REVOKED])
    delivery = Delivery(job_id, queue, level, 1, envelope, counts, bool(back))
    return Found(key, holder, place_of(state, due, now), delivery)


def _seize(connection: Connection, lessee: Lessee, found: Iterable[Found]) -> None:
    rows = [(lessee.key(each.delivery.queue), _REVOKED, each.key) for each in found]
    connection.executemany(JOBS["seize"], rows)


def _told(found: Found, session: str) -> Revoked:
    ours = found.place in WAITING or found.holder == session
    return Revoked(found.delivery.id, found.place, found.delivery.queue, found.delivery if ours else None)


def _over(connection: Connection, now: int, job_id: str, queue: str | None) -> Revoked:
    ended = connection.execute(INSPECT["ended"], (job_id, now)).fetchone() is not None
    return Revoked(job_id, "ended", queue or "") if ended else Revoked(job_id, "unknown")
