"""The table of results in a SQL database, and the few statements on it, in SQLAlchemy's Core."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

VERSION: Final = 1
METADATA: Final = sa.MetaData()

# Ids and owners are ASCII; by default MySQL would take "a" and "A" for the same id.
_TEXT: Final = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)

RESULTS: Final = sa.Table(
    "umbel_results",
    METADATA,
    sa.Column("id", _TEXT, primary_key=True),
    sa.Column("expires", sa.BigInteger, nullable=False, comment="unix time in ms"),
    sa.Column("owner", _TEXT, nullable=False, comment="who wrote the record, or alone may write it"),
    sa.Column(
        "value",
        sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
        comment="the record; null: the id is claimed by its owner",
    ),
    # A constraint, because unlike an index it is made in the same step as the table on every database.
    sa.UniqueConstraint("expires", "id"),
)
VERSIONS: Final = sa.Table(
    "umbel_results_version", METADATA, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
)

Row = Mapping[str, Any]

_IS_RECORD: Final = RESULTS.c.value.is_not(None)
_EXPIRED: Final = RESULTS.c.expires <= sa.bindparam("now")
_THIS_ID: Final = RESULTS.c.id == sa.bindparam("this_id")
_OWN_CLAIM: Final = sa.and_(RESULTS.c.value.is_(None), RESULTS.c.owner == sa.bindparam("this_owner"))

_INSERTS: Final[Mapping[str, sa.Insert]] = {
    "postgresql": postgresql_insert(RESULTS).on_conflict_do_nothing(),
    "sqlite": sqlite_insert(RESULTS).on_conflict_do_nothing(),
    "mysql": mysql.insert(RESULTS).prefix_with("IGNORE"),
    "mariadb": mysql.insert(RESULTS).prefix_with("IGNORE"),
}
DIALECTS: Final = frozenset(_INSERTS)
_REPLACE: Final = sa.update(RESULTS).where(_THIS_ID, sa.or_(_EXPIRED, _OWN_CLAIM))
_TAKE_OVER: Final = sa.update(RESULTS).where(_THIS_ID, sa.or_(_EXPIRED, RESULTS.c.value.is_(None)))
_READ: Final = sa.select(RESULTS.c.id, RESULTS.c.value).where(
    RESULTS.c.id.in_(sa.bindparam("ids", expanding=True)), _IS_RECORD, sa.not_(_EXPIRED)
)
_STALE: Final = sa.select(RESULTS.c.id).where(_EXPIRED).order_by(RESULTS.c.expires).limit(sa.bindparam("most"))
_CLEAN: Final = sa.delete(RESULTS).where(RESULTS.c.id.in_(sa.bindparam("ids", expanding=True)), _EXPIRED)
_DELETE: Final = sa.delete(RESULTS).where(_THIS_ID)


def ensure(connection: sa.Connection) -> int:
    """Make the tables unless they are there; answers their version."""
    METADATA.create_all(connection)
    version = connection.scalar(sa.select(sa.func.max(VERSIONS.c.version)))
    if version is None:
        connection.execute(sa.insert(VERSIONS), {"version": VERSION})
    return version or VERSION


def put(connection: sa.Connection, rows: Sequence[Row], now: int) -> bool:
    """Store *rows* where nothing is, or something expired, or the claim of the same owner; tells if all were new."""
    return _write(connection, _REPLACE, rows, now)


def claim(connection: sa.Connection, rows: Sequence[Row], now: int) -> bool:
    """Store *rows*, which are claims, where no living record is; tells if all were new."""
    return _write(connection, _TAKE_OVER, rows, now)


def read(connection: sa.Connection, ids: Collection[str], now: int) -> dict[str, bytes]:
    """The records of *ids* that have not expired."""
    return {job_id: bytes(value) for job_id, value in connection.execute(_READ, {"ids": list(ids), "now": now})}


def delete(connection: sa.Connection, job_id: str) -> None:
    """Delete the row of *job_id*."""
    connection.execute(_DELETE, {"this_id": job_id})


def clean(connection: sa.Connection, now: int, most: int) -> int:
    """Delete up to *most* rows that have expired; answers how many it found."""
    stale = list(connection.scalars(_STALE, {"now": now, "most": most}))
    if stale:
        connection.execute(_CLEAN, {"ids": stale, "now": now})
    return len(stale)


def _write(connection: sa.Connection, change: sa.Update, rows: Sequence[Row], now: int) -> bool:
    # Insert first: it waits for whoever inserts the same id, so that the update sees what that one has committed.
    inserted = connection.execute(_INSERTS[connection.dialect.name], list(rows))
    if inserted.rowcount == len(rows):
        return True
    changes = [{**row, "this_id": row["id"], "this_owner": row["owner"], "now": now} for row in rows]
    connection.execute(change, changes)
    return False
