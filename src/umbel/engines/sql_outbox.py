"""Outboxes in a SQL database: what flows and schedules have another server send, and the statements on it.

What is put there at once is one row of jobs; whoever puts or takes some locks the row of their home first. So the rows
of a home have their numbers in the order in which they become visible, and no sender passes by one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from umbel.engines import sql_claims, sql_rows
from umbel.engines.sql_claims import BYTES, ID
from umbel.model.job import Job

METADATA: Final = sa.MetaData()

HOMES: Final = sa.Table(
    "umbel_claim_outboxes",
    METADATA,
    sa.Column("home", ID, primary_key=True, comment="the queue that a flow lives with"),
    sa.Column("last", sa.BigInteger, nullable=False, comment="number of the last row that was put there"),
    sa.Column("waiting", sa.BigInteger, nullable=False, comment="how many rows and openings are left"),
    sa.Column("sender", ID, comment="who sends on what lies there"),
    sa.Column("until", sa.BigInteger, nullable=False, comment="unix time in ms; then somebody else may"),
)
ROWS: Final = sa.Table(
    "umbel_claim_outbox",
    METADATA,
    sa.Column("home", ID, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("jobs", BYTES, nullable=False),
)
OPENINGS: Final = sa.Table(
    "umbel_claim_openings",
    METADATA,
    sa.Column("home", ID, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("flow", sa.BigInteger, nullable=False, comment="key of a flow of which a node has jobs left to send"),
    sa.Column("node", sa.Integer, nullable=False),
    sa.Index("umbel_claim_openings_flow", "flow"),
)

pack: Final = msgspec.msgpack.Encoder().encode
"""Jobs as one row has them."""
unpack: Final = msgspec.msgpack.Decoder(list[Job]).decode
"""The jobs of one row."""

_PUT: Final = (
    sa.update(HOMES)
    .where(HOMES.c.home == sa.bindparam("this_home"))
    .values(last=HOMES.c.last + sa.bindparam("count"), waiting=HOMES.c.waiting + sa.bindparam("count"))
)
_HELD: Final = sa.select(HOMES).where(HOMES.c.home == sa.bindparam("home")).with_for_update()
_IDLE: Final = sa.select(HOMES.c.home).where(HOMES.c.home == sa.bindparam("home"), HOMES.c.waiting > 0)
_SIGNS: Final = sa.union_all(
    sa.select(sa.literal("paused")).where(sql_claims.PAUSES.c.queue == sa.bindparam("queue")),
    sa.select(sa.literal("waiting")).where(
        HOMES.c.home == sa.bindparam("queue"), HOMES.c.waiting > 0, HOMES.c.until <= sa.bindparam("now")
    ),
)


class Home(NamedTuple):
    """Who sends on what lies at a home, until which unix ms, and how many rows and openings there are."""

    sender: str | None
    until: int
    waiting: int


def signs(connection: sa.Connection, queue: str, now: int) -> set[str]:
    """What who claims in *queue* must know: "paused", and "waiting" if jobs lie there that nobody sends on."""
    return set(connection.scalars(_SIGNS, {"queue": queue, "now": now}))


def put(connection: sa.Connection, home: str, rows: Sequence[bytes], opening: Collection[tuple[int, int]] = ()) -> None:
    """Add *rows* of jobs to the outbox of *home*, and note nodes, (flow, node), that have more to send after them."""
    count = len(rows) + len(opening)
    if not count:
        return
    if connection.execute(_PUT, {"this_home": home, "count": count}).rowcount == 0:
        sql_rows.add(connection, HOMES, [{"home": home, "last": 0, "waiting": 0, "sender": None, "until": 0}])
        connection.execute(_PUT, {"this_home": home, "count": count})
    last = connection.scalar(sa.select(HOMES.c.last).where(HOMES.c.home == home)) or 0
    numbers = iter(range(last - count + 1, last + 1))
    found = [{"home": home, "number": next(numbers), "jobs": each} for each in rows]
    sql_rows.insert(connection, ROWS, found)
    noted = [{"home": home, "number": next(numbers), "flow": flow, "node": node} for flow, node in opening]
    sql_rows.insert(connection, OPENINGS, noted)


def is_idle(connection: sa.Connection, home: str) -> bool:
    """Whether nothing lies at *home*; locks nothing."""
    return connection.execute(_IDLE, {"home": home}).first() is None


def hold(connection: sa.Connection, home: str) -> Home:
    """Lock the outbox of *home*, where something lies or lay, and tell of it."""
    if connection.dialect.name == "sqlite":  # it locks by writing
        connection.execute(_PUT, {"this_home": home, "count": 0})
    row = connection.execute(_HELD, {"home": home}).mappings().one()
    return Home(row["sender"], row["until"], row["waiting"])


def keep(connection: sa.Connection, home: str, state: Home) -> None:
    """Write the *state* of the outbox of *home*, which is locked."""
    connection.execute(sa.update(HOMES).where(HOMES.c.home == home).values(**state._asdict()))


def read(connection: sa.Connection, home: str, after: int, most: int) -> list[tuple[int, list[Job]]]:
    """Numbers and jobs of the rows of *home* above the number *after*, in order, at most *most*."""
    found = sa.select(ROWS.c.number, ROWS.c.jobs).where(ROWS.c.home == home, ROWS.c.number > after)
    return [
        (number, unpack(bytes(jobs))) for number, jobs in connection.execute(found.order_by(ROWS.c.number).limit(most))
    ]


def drop(connection: sa.Connection, home: str, numbers: Collection[int]) -> None:
    """Delete rows of *home*."""
    if numbers:
        connection.execute(sa.delete(ROWS).where(ROWS.c.home == home, ROWS.c.number.in_(numbers)))


def replace(connection: sa.Connection, home: str, number: int, jobs: Sequence[Job]) -> None:
    """Have only *jobs* left in one row of *home*."""
    mine = (ROWS.c.home == home, ROWS.c.number == number)
    connection.execute(sa.update(ROWS).where(*mine).values(jobs=pack(jobs)))


def opening(connection: sa.Connection, home: str) -> tuple[int, int, int] | None:
    """Number, flow and node of the oldest opening of *home*."""
    found = sa.select(OPENINGS.c.number, OPENINGS.c.flow, OPENINGS.c.node).where(OPENINGS.c.home == home)
    row: Any = connection.execute(found.order_by(OPENINGS.c.number).limit(1)).first()
    return None if row is None else tuple(row)


def opened(connection: sa.Connection, home: str, number: int) -> None:
    """Forget an opening of *home*, all of whose jobs were put there; `keep` tells how many rows are left."""
    connection.execute(sa.delete(OPENINGS).where(OPENINGS.c.home == home, OPENINGS.c.number == number))
