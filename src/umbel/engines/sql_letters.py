"""Boxes of letters and the log of events in a SQL database, and the statements on them, in SQLAlchemy's Core.

Whoever adds rows takes their numbers from a row of `COUNTERS`, which stays locked until they are there. So numbers
become visible in their order, and no reader passes by a row whose transaction ends late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from umbel.engines import sql_claims, sql_rows
from umbel.engines.sql_claims import BYTES, ID, NAME

METADATA: Final = sa.MetaData()

COUNTERS: Final = sa.Table(
    "umbel_claim_counters",
    METADATA,
    sa.Column("name", ID, primary_key=True, comment="of what rows are numbered"),
    sa.Column("number", sa.BigInteger, nullable=False, comment="of the last row"),
    sa.Column("nth", sa.BigInteger, nullable=False, comment="how many there were"),
)
LETTERS: Final = sa.Table(
    "umbel_claim_letters",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("box", NAME, nullable=False),
    sa.Column("mark", ID, nullable=False, comment="of the call that told it"),
    sa.Column("expires", sa.BigInteger, nullable=False, comment="unix time in ms"),
    sa.Column("message", BYTES, nullable=False),
    sa.Index("umbel_claim_letters_box", "box", "number"),
    sa.Index("umbel_claim_letters_expires", "expires"),
)
EVENTS: Final = sa.Table(
    "umbel_claim_events",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("nth", sa.BigInteger, nullable=False, comment="how many there were with it"),
    sa.Column("batch", BYTES, nullable=False),
)
MAX_SWEPT: Final = 200
"""How many letters that have expired are removed by whoever tells one, at most, or twice as many as he tells."""
TRIM_EVERY: Final = 64
"""The log is trimmed each time it has grown by so many batches."""


class Letters(NamedTuple):
    """*messages* for *box*, told by the call *mark*; they are forgotten at *expires*, unix ms."""

    box: str
    messages: Sequence[bytes]
    mark: str
    expires: int


def tell(connection: sa.Connection, letters: Letters, now: int) -> None:
    """Add *letters*, unless this call has done so before, and sweep what has expired by *now*."""
    count = len(letters.messages)
    number, _ = _numbered(connection, LETTERS.name, count)
    told = sa.select(LETTERS.c.number).where(LETTERS.c.box == letters.box, LETTERS.c.mark == letters.mark)
    if connection.execute(told.limit(1)).first() is not None:
        return
    old = sa.select(LETTERS.c.number).where(LETTERS.c.expires <= now).order_by(LETTERS.c.expires)
    gone = list(connection.scalars(old.limit(max(MAX_SWEPT, 2 * count))))
    if gone:
        connection.execute(sa.delete(LETTERS).where(LETTERS.c.number.in_(gone)))
    fields = {"box": letters.box, "mark": letters.mark, "expires": letters.expires}
    rows = [{**fields, "number": number + nth, "message": each} for nth, each in enumerate(letters.messages, 1)]
    sql_rows.insert(connection, LETTERS, rows)


def position(connection: sa.Connection) -> int:
    """The number of the last letter there was in any box, 0 if there was none."""
    return _last(connection, LETTERS.name)


def has_more(connection: sa.Connection, box: str, after: int) -> bool:
    """Whether there is a letter in *box* above *after*, expired or not: all that who listens asks while none is."""
    found = sa.select(LETTERS.c.number).where(LETTERS.c.box == box, LETTERS.c.number > after)
    return connection.execute(found.limit(1)).first() is not None


def hear(connection: sa.Connection, box: str, after: int, now: int, most: int) -> list[tuple[int, bytes]]:
    """Numbers and messages of *box* above *after* that have not expired by *now*, up to *most*."""
    mine = (LETTERS.c.box == box, LETTERS.c.number > after, LETTERS.c.expires > now)
    found = sa.select(LETTERS.c.number, LETTERS.c.message).where(*mine).order_by(LETTERS.c.number).limit(most)
    return [(number, bytes(message)) for number, message in connection.execute(found)]


def append(connection: sa.Connection, batches: Sequence[bytes], bound: int) -> None:
    """Add *batches* to the log, and keep the newest *bound*, or up to `TRIM_EVERY` more."""
    number, nth = _numbered(connection, EVENTS.name, len(batches))
    rows = [{"number": number + place, "nth": nth + place, "batch": batch} for place, batch in enumerate(batches, 1)]
    sql_rows.insert(connection, EVENTS, rows)
    if nth // TRIM_EVERY != (nth + len(batches)) // TRIM_EVERY:
        _trim(connection, nth + len(batches) - bound)


def read(connection: sa.Connection, after: int, most: int) -> list[tuple[int, bytes]]:
    """Numbers and batches above *after*, up to *most*; the oldest, if the log has no number that high."""
    start = after if after <= end(connection) else 0
    found = sa.select(EVENTS.c.number, EVENTS.c.batch).where(EVENTS.c.number > start).order_by(EVENTS.c.number)
    return [(number, bytes(batch)) for number, batch in connection.execute(found.limit(most))]


def end(connection: sa.Connection) -> int:
    """The number of the newest batch there was, 0 if there was none."""
    return _last(connection, EVENTS.name)


def count(connection: sa.Connection) -> int:
    """How many batches were ever added to the log."""
    return connection.scalar(sa.select(COUNTERS.c.nth).where(COUNTERS.c.name == EVENTS.name)) or 0


def _numbered(connection: sa.Connection, name: str, count: int) -> tuple[int, int]:
    """Take *count* numbers for rows of *name*; answers the last number before them, and how many there were.

    Numbers are not below the clock: after a crash the server may have lost the last ones, and readers would miss some.
    """
    if connection.dialect.name == "postgresql":  # what is told need not outlive a crash
        connection.execute(sa.select(sa.func.set_config("synchronous_commit", "off", True)))
    floor = sql_claims.moment(connection) * 1000
    mine = COUNTERS.c.name == name
    higher = sa.case((COUNTERS.c.number > floor, COUNTERS.c.number), else_=floor)
    taking = sa.update(COUNTERS).where(mine).values(number=higher + count, nth=COUNTERS.c.nth + count)
    if connection.execute(taking).rowcount == 0:
        sql_rows.add(connection, COUNTERS, [{"name": name, "number": 0, "nth": 0}])
        connection.execute(taking)
    number, nth = connection.execute(sa.select(COUNTERS.c.number, COUNTERS.c.nth).where(mine)).one()
    return number - count, nth - count


def _last(connection: sa.Connection, name: str) -> int:
    return connection.scalar(sa.select(COUNTERS.c.number).where(COUNTERS.c.name == name)) or 0


def _trim(connection: sa.Connection, most: int) -> None:
    """Remove the batches that were the first *most*."""
    oldest = connection.scalar(sa.select(EVENTS.c.nth).order_by(EVENTS.c.number).limit(1))
    if oldest is None or oldest > most:
        return
    places = sa.select(EVENTS.c.number).order_by(EVENTS.c.number).offset(most - oldest).limit(1)
    last = connection.scalar(places)
    connection.execute(sa.delete(EVENTS).where(EVENTS.c.number <= last))
