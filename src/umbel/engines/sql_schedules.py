"""Schedules in a SQL database, and the statements on them, in SQLAlchemy's Core.

A writer takes its revision from a row that stays locked until it has ended, so that revisions become visible in order.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from umbel.engines import sql_rows
from umbel.engines.sql_claims import BYTES

METADATA: Final = sa.MetaData()
_NAME: Final = sa.String(600).with_variant(
    mysql.VARCHAR(600, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)

ROWS: Final = sa.Table(
    "umbel_claim_schedules",
    METADATA,
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True, comment="of the write that made it what it is"),
    sa.Column("value", BYTES, nullable=False),
)
REVISIONS: Final = sa.Table(
    "umbel_claim_revision",
    METADATA,
    sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False, comment="of the last write"),
)
_ONE: Final = 1


def revise(connection: sa.Connection) -> int:
    """The revision of the write that begins."""
    mine = REVISIONS.c.one == _ONE
    taking = sa.update(REVISIONS).where(mine).values(revision=REVISIONS.c.revision + 1)
    if connection.execute(taking).rowcount == 0:
        sql_rows.add(connection, REVISIONS, [{"one": _ONE, "revision": 0}])
        connection.execute(taking)
    return connection.scalar(sa.select(REVISIONS.c.revision).where(mine)) or 0


def write(connection: sa.Connection, name: str, seen: int, revision: int, value: bytes) -> bool:
    """Make the row *name*, which must have the revision *seen* (0: none), *value* (empty: gone); tells if so."""
    mine = (ROWS.c.name == name, ROWS.c.revision == seen)
    if not value:
        return connection.execute(sa.delete(ROWS).where(*mine)).rowcount == 1
    if seen:
        return connection.execute(sa.update(ROWS).where(*mine).values(revision=revision, value=value)).rowcount == 1
    return sql_rows.add(connection, ROWS, [{"name": name, "revision": revision, "value": value}]) == 1


def read(connection: sa.Connection, since: int) -> tuple[int, list[tuple[str, int, bytes]]]:
    """The number of all rows; names, revisions and values of those written after *since*."""
    size = connection.scalar(sa.select(sa.func.count()).select_from(ROWS)) or 0
    found = sa.select(ROWS.c.name, ROWS.c.revision, ROWS.c.value).where(ROWS.c.revision > since)
    return size, [(name, revision, bytes(value)) for name, revision, value in connection.execute(found)]
