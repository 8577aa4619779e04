"""The tables of claims in a SQL database, and the statements on them, in SQLAlchemy's Core.

Whoever needs several rows locks them in one order: a queue, then sessions, then jobs by their ids. The first statement
of each transaction writes, so that SQLite gives it the file before it reads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from umbel.engines import sql_rows

METADATA: Final = sa.MetaData()
Row = Mapping[str, Any]

# Ids are ASCII; by default MySQL would take "a" and "A" for the same id.
ID: Final = sa.String(255).with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
NAME: Final = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
BYTES: Final = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

QUEUES: Final = sa.Table(
    "umbel_claim_queues",
    METADATA,
    sa.Column("queue", ID, primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False, comment="when a supervisor was last here, unix time in ms"),
    sa.Column("hold", sa.BigInteger, nullable=False, comment="until when no session is declared dead"),
)
SESSIONS: Final = sa.Table(
    "umbel_claim_sessions",
    METADATA,
    sa.Column("queue", ID, primary_key=True),
    sa.Column("session", ID, primary_key=True),
    sa.Column("deadline", sa.BigInteger, nullable=False, comment="> 0: open until then; else being emptied"),
    sa.Column("number", sa.BigInteger, nullable=False, comment="of its last receive"),
    sa.Column("info", BYTES, nullable=False),
    sa.Column("gone", sa.BigInteger, comment="since when it has nothing any more"),
)
JOBS: Final = sa.Table(
    "umbel_claim_jobs",
    METADATA,
    sa.Column("queue", ID, primary_key=True),
    sa.Column("id", ID, primary_key=True),
    sa.Column("session", ID, comment="who has it, under which number"),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False, comment="of the message that stands for it"),
    sa.Column("place", sa.String(8), nullable=False, comment="empty until it came back"),
    sa.Column("retries", sa.Integer, nullable=False),
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("marked", sa.Boolean, nullable=False),
    sa.Column("doom", sa.String(8), nullable=False, comment="why it must not run any more"),
    sa.Column("copies", sa.Boolean, nullable=False, comment="there may be more than one message"),
    sa.Column("parcel", BYTES, comment="what is still to be published"),
    sa.Column("note", BYTES, comment="the last word of its holder on its progress"),
    sa.Column("envelope", BYTES, comment="what its holder has amended it to, in place of what its message has"),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Index("umbel_claim_jobs_held", "queue", "session"),
)
PARKED: Final = sa.Table(
    "umbel_claim_parked",
    METADATA,
    sa.Column("queue", ID, primary_key=True),
    sa.Column("task", NAME, primary_key=True),
    sa.Column("times", sa.BigInteger, nullable=False),
)
PAUSES: Final = sa.Table(
    "umbel_claim_pauses", METADATA, sa.Column("queue", ID, primary_key=True, comment="of which nobody gets a job")
)
ASKED_SECONDS: Final = 0.5
NEW_JOB: Final[Row] = {
    "session": None, "number": 0, "generation": 0, "place": "", "retries": 0, "crashes": 0, "losses": 0,
    "marked": False, "doom": "", "copies": False, "parcel": None, "note": None, "envelope": None,
}  # fmt: skip

_NOW: Final[Mapping[str, sa.Select[Any]]] = {
    "postgresql": sa.select(sa.extract("epoch", sa.func.clock_timestamp())),
    "mysql": sa.select(sa.func.unix_timestamp(sa.func.now(3))),
    "mariadb": sa.select(sa.func.unix_timestamp(sa.func.now(3))),
}
_SESSION: Final = (
    SESSIONS.c.queue == sa.bindparam("this_queue"), SESSIONS.c.session == sa.bindparam("this_session"),
    SESSIONS.c.deadline > 0,
)  # fmt: skip
_NUMBER: Final = (
    sa.update(SESSIONS).where(*_SESSION, SESSIONS.c.number <= sa.bindparam("most")).values(number=sa.bindparam("new"))
)
_IS_OPEN: Final = sa.select(SESSIONS.c.number).where(*_SESSION)
_SESSION_IN: Final = (
    SESSIONS.c.session == sa.bindparam("this_session"),
    SESSIONS.c.queue.in_(sa.bindparam("queues", expanding=True)),
    SESSIONS.c.deadline > 0,
)
_HOLD_OPEN: Final = sa.update(SESSIONS).where(*_SESSION_IN).values(number=SESSIONS.c.number)
_OPEN_IN: Final = sa.select(SESSIONS.c.queue).where(*_SESSION_IN)
_OPEN_ONES: Final = sa.select(SESSIONS.c.session, SESSIONS.c.info, SESSIONS.c.deadline).where(
    SESSIONS.c.queue == sa.bindparam("this_queue"), SESSIONS.c.deadline > 0
)
_IN_QUEUE: Final = JOBS.c.queue == sa.bindparam("this_queue")
_THESE: Final = JOBS.c.id.in_(sa.bindparam("ids", expanding=True))
_JOBS: Final = sa.select(JOBS).where(_IN_QUEUE, _THESE).order_by(JOBS.c.id).with_for_update()
_ENDING: Final = (
    sa.select(JOBS.c.id, JOBS.c.session, JOBS.c.number, JOBS.c.copies, JOBS.c.parcel)
    .where(_IN_QUEUE, _THESE)
    .order_by(JOBS.c.id)
    .with_for_update()
)
_DROP: Final = sa.delete(JOBS).where(_IN_QUEUE, _THESE)
_THIS_JOB: Final = (_IN_QUEUE, JOBS.c.id == sa.bindparam("this_id"))
_UNPACK: Final = sa.update(JOBS).where(*_THIS_JOB, JOBS.c.parcel == sa.bindparam("old")).values(parcel=None)
_DROP_ENDED: Final = sa.delete(JOBS).where(*_THIS_JOB, JOBS.c.parcel.is_(None), JOBS.c.place == "ended")


def moment(connection: sa.Connection) -> int:
    """Milliseconds since 1970 on the server's clock; SQLite has that of the host."""
    question = _NOW.get(connection.dialect.name)
    seconds = time.time() if question is None else float(connection.execute(question).scalar_one())
    return int(seconds * 1000)


class Clock:
    """The server's clock, which is asked twice a second at most; in between, this host's counts on."""

    def __init__(self) -> None:
        self._asked = -math.inf
        self._ahead = 0.0

    def now(self, connection: sa.Connection) -> int:
        """Milliseconds since 1970."""
        here = time.monotonic()
        if not 0 <= here - self._asked < ASKED_SECONDS:
            self._ahead = moment(connection) / 1000 - here
            self._asked = here
        return int((here + self._ahead) * 1000)


# --- queues


def seen(connection: sa.Connection, queue: str, now: int, lease: int) -> int:
    """Note that a supervisor is here; answers until when no session may be declared dead.

    If none was for half a lease, or the clock jumped by as much, the sessions get half a lease, at least 3 s.
    """
    sql_rows.add(connection, QUEUES, [{"queue": queue, "seen": now, "hold": 0}])
    where = QUEUES.c.queue == queue
    last, hold = connection.execute(sa.select(QUEUES.c.seen, QUEUES.c.hold).where(where).with_for_update()).one()
    if abs(now - last) > lease / 2:
        hold = now + max(lease // 2, 3000)
    connection.execute(sa.update(QUEUES).where(where).values(seen=now, hold=hold))
    return int(hold)


def queues(connection: sa.Connection) -> list[str]:
    """The names of all queues."""
    return list(connection.scalars(sa.select(QUEUES.c.queue).order_by(QUEUES.c.queue)))


def pause(connection: sa.Connection, queue: str, *, paused: bool) -> None:
    """Note that *queue* is paused, or is no longer."""
    if paused:
        sql_rows.add(connection, PAUSES, [{"queue": queue}])
    else:
        connection.execute(sa.delete(PAUSES).where(PAUSES.c.queue == queue))


def paused(connection: sa.Connection, names: Collection[str]) -> set[str]:
    """Those of *names* that are paused."""
    return set(connection.scalars(sa.select(PAUSES.c.queue).where(PAUSES.c.queue.in_(names))))


# --- sessions


def renew(connection: sa.Connection, queue: str, session: str, deadline: int, info: bytes) -> bool:
    """Renew a lease; tells whether the session is open."""
    where = (SESSIONS.c.queue == queue, SESSIONS.c.session == session, SESSIONS.c.deadline > 0)
    return connection.execute(sa.update(SESSIONS).where(*where).values(deadline=deadline, info=info)).rowcount == 1


def number(connection: sa.Connection, queue: str, session: str, at_least: int, new: int) -> bool | None:
    """Note a receive number, unless one above *at_least* is known: then False. None if the session is not open."""
    mine = {"this_queue": queue, "this_session": session}
    if connection.execute(_NUMBER, {**mine, "most": at_least, "new": new}).rowcount == 1:
        return True
    return False if connection.execute(_IS_OPEN, mine).first() else None


def hold_open(connection: sa.Connection, session: str, names: Collection[str]) -> set[str]:
    """Lock *session* in the queues *names*; answers where it is open."""
    mine = {"this_session": session, "queues": list(names)}
    count = connection.execute(_HOLD_OPEN, mine).rowcount
    if count in (0, len(names)):
        return set(names) if count else set()
    return set(connection.scalars(_OPEN_IN, mine))


def close(connection: sa.Connection, queue: str, session: str, until: int) -> bool:
    """Declare *session* dead; until *until* only its own supervisor empties it. False if it has nothing any more."""
    mine = (SESSIONS.c.queue == queue, SESSIONS.c.session == session, SESSIONS.c.gone.is_(None))
    return connection.execute(sa.update(SESSIONS).where(*mine).values(deadline=-until)).rowcount == 1


def lapse(connection: sa.Connection, queue: str, now: int, lease: int, *, suspended: bool) -> list[str]:
    """Declare dead whose lease has ended, unless that is *suspended*; answers who is to be emptied, at most 16."""
    mine = SESSIONS.c.queue == queue
    # A deadline beyond two leases was set by a clock that has been set back since.
    late = sa.update(SESSIONS).where(mine, SESSIONS.c.deadline > now + 2 * lease).values(deadline=now + lease)
    connection.execute(late)
    ended = SESSIONS.c.deadline.between(-now, 0 if suspended else now)
    found = sa.select(SESSIONS.c.session).where(mine, ended, SESSIONS.c.gone.is_(None)).order_by(SESSIONS.c.session)
    names = list(connection.scalars(found.limit(16).with_for_update()))
    if names:
        connection.execute(sa.update(SESSIONS).where(mine, SESSIONS.c.session.in_(names)).values(deadline=0))
    return names


def emptied(connection: sa.Connection, queue: str, session: str, now: int) -> None:
    """Note that *session* has nothing any more; its name is kept for a while, so that it is not opened again."""
    mine = (SESSIONS.c.queue == queue, SESSIONS.c.session == session)
    connection.execute(sa.update(SESSIONS).where(*mine).values(deadline=0, gone=now))


def next_deadline(connection: sa.Connection, queue: str) -> int | None:
    """When the next lease ends; 0 if somebody is still to be emptied."""
    waiting = (SESSIONS.c.queue == queue, SESSIONS.c.gone.is_(None), SESSIONS.c.deadline >= 0)
    found: int | None = connection.scalar(sa.select(sa.func.min(SESSIONS.c.deadline)).where(*waiting))
    return found


def open_sessions(connection: sa.Connection, queue: str) -> list[tuple[str, bytes, int]]:
    """Name, info and deadline of each open session."""
    rows = connection.execute(_OPEN_ONES, {"this_queue": queue})
    return [(name, bytes(info), deadline) for name, info, deadline in rows]


# --- jobs


def jobs(connection: sa.Connection, queue: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The rows of *ids*, locked."""
    rows = connection.execute(_JOBS, {"this_queue": queue, "ids": list(ids)}).mappings()
    return {row["id"]: _plain(row) for row in rows}


def ending(connection: sa.Connection, queue: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """The rows of *ids*, locked, with no more than says who has them and whether something is to be published yet."""
    rows = connection.execute(_ENDING, {"this_queue": queue, "ids": list(ids)}).mappings()
    return {row["id"]: _plain(row) for row in rows}


def held(connection: sa.Connection, queue: str, session: str, most: int | None = None) -> list[dict[str, Any]]:
    """What *session* has, up to *most* rows, locked."""
    mine = sa.select(JOBS).where(JOBS.c.queue == queue, JOBS.c.session == session)
    return list(map(_plain, connection.execute(mine.order_by(JOBS.c.id).limit(most).with_for_update()).mappings()))


def change(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Write *rows* back."""
    sql_rows.change(connection, JOBS, rows)


def drop(connection: sa.Connection, queue: str, ids: Collection[str]) -> None:
    """Delete the rows of *ids*."""
    if ids:
        connection.execute(_DROP, {"this_queue": queue, "ids": list(ids)})


def unpack(connection: sa.Connection, queue: str, job_id: str, parcel: bytes) -> None:
    """Forget *parcel*, unless another one is there; of a job that has ended nothing else is needed."""
    mine = {"this_queue": queue, "this_id": job_id}
    connection.execute(_UNPACK, {**mine, "old": parcel})
    connection.execute(_DROP_ENDED, mine)


def mark(connection: sa.Connection, queue: str, job_id: str, session: str, taken: int) -> bool:
    """Mark a job; tells whether *session* has it under the number *taken*."""
    mine = (JOBS.c.queue == queue, JOBS.c.id == job_id, JOBS.c.session == session, JOBS.c.number == taken)
    return connection.execute(sa.update(JOBS).where(*mine).values(marked=True, place="ready")).rowcount == 1


def keep(connection: sa.Connection, delivery: Row, **what: bytes) -> bool:
    """Write *what* into the row of a job; *delivery* is its queue, id, session, number. False if it is not held so."""
    mine = (JOBS.c[name] == value for name, value in delivery.items())
    return connection.execute(sa.update(JOBS).where(*mine).values(**what)).rowcount == 1


def tidy(connection: sa.Connection, queue: str, now: int, most: int) -> None:
    """Delete what is not needed any more, up to *most* rows of each kind."""
    old = sa.select(JOBS.c.id).where(JOBS.c.queue == queue, JOBS.c.session.is_(None), JOBS.c.expires <= now)
    drop(connection, queue, list(connection.scalars(old.limit(most))))
    gone = sa.select(SESSIONS.c.session).where(SESSIONS.c.queue == queue, SESSIONS.c.gone <= now - 86_400_000)
    names = list(connection.scalars(gone.limit(most)))
    if names:
        connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.queue == queue, SESSIONS.c.session.in_(names)))


# --- parked


def park(connection: sa.Connection, queue: str, task: str) -> None:
    """Note that a job is parked under *task*, once more."""
    sql_rows.add(connection, PARKED, [{"queue": queue, "task": task, "times": 0}])
    mine = (PARKED.c.queue == queue, PARKED.c.task == task)
    connection.execute(sa.update(PARKED).where(*mine).values(times=PARKED.c.times + 1))


def parked(connection: sa.Connection, queue: str, tasks: Collection[str]) -> dict[str, int]:
    """How often jobs were parked under each of *tasks*."""
    rows = connection.execute(sa.select(PARKED.c.task, PARKED.c.times).where(PARKED.c.queue == queue))
    return {task: times for task, times in rows if task in tasks}


def unpark(connection: sa.Connection, queue: str, task: str, times: int) -> None:
    """Nothing is parked under *task*, unless it was since it was counted."""
    mine = (PARKED.c.queue == queue, PARKED.c.task == task, PARKED.c.times == times)
    connection.execute(sa.delete(PARKED).where(*mine))


def count_held(connection: sa.Connection, queue: str) -> int:
    """How many jobs are leased."""
    mine = (JOBS.c.queue == queue, JOBS.c.session.is_not(None))
    return int(connection.scalar(sa.select(sa.func.count()).select_from(JOBS).where(*mine)) or 0)


def held_ids(connection: sa.Connection, queue: str) -> list[tuple[str, str]]:
    """Who has what: sessions and ids."""
    mine = (JOBS.c.queue == queue, JOBS.c.session.is_not(None))
    return [
        (session, job_id) for session, job_id in connection.execute(sa.select(JOBS.c.session, JOBS.c.id).where(*mine))
    ]


def look(connection: sa.Connection, queue: str, job_id: str) -> Row | None:
    """One job."""
    found = sa.select(JOBS).where(JOBS.c.queue == queue, JOBS.c.id == job_id)
    row = connection.execute(found).mappings().first()
    return None if row is None else _plain(row)


def _plain(row: sa.RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}
