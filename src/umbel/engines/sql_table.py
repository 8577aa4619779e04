"""The table of results in a SQL database, and the few statements on it, in SQLAlchemy's Core.

What it is called is an option of the connection, as its schema is: see `options`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from umbel.engines import sql_rows
from umbel.engines.unfit import Unfit

VERSION: Final = 1
NAME: Final = "umbel_results"
Row = Mapping[str, Any]
_OPTION: Final = "umbel_results"

# Ids and owners are ASCII; by default MySQL would take "a" and "A" for the same id.
_TEXT: Final = sa.String(255).with_variant(
    mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
)
_BYTES: Final = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
DIALECTS: Final = frozenset({"postgresql", "sqlite", "mysql", "mariadb"})


class Tables:
    """The tables under one name, and the statements on them."""

    def __init__(self, name: str = NAME) -> None:
        self.metadata = sa.MetaData()
        self.results = results = sa.Table(
            name,
            self.metadata,
            sa.Column("id", _TEXT, primary_key=True),
            sa.Column("expires", sa.BigInteger, nullable=False, comment="unix time in ms"),
            sa.Column("owner", _TEXT, nullable=False, comment="who wrote the record, or alone may write it"),
            sa.Column("value", _BYTES, comment="the record; null: the id is claimed by its owner"),
            # A constraint, because unlike an index it is made in the same step as the table on every database.
            sa.UniqueConstraint("expires", "id"),
        )
        self.versions = sa.Table(
            f"{name}_version", self.metadata, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False)
        )
        is_record, these = results.c.value.is_not(None), results.c.id.in_(sa.bindparam("ids", expanding=True))
        expired, this_id = results.c.expires <= sa.bindparam("now"), results.c.id == sa.bindparam("this_id")
        own_claim = sa.and_(results.c.value.is_(None), results.c.owner == sa.bindparam("this_owner"))
        self.replace = sa.update(results).where(this_id, sa.or_(expired, own_claim))
        self.take_over = sa.update(results).where(this_id, sa.or_(expired, results.c.value.is_(None)))
        self.read = sa.select(results.c.id, results.c.value).where(these, is_record, sa.not_(expired))
        self.stale = sa.select(results.c.id).where(expired).order_by(results.c.expires).limit(sa.bindparam("most"))
        self.clean = sa.delete(results).where(these, expired)
        self.delete = sa.delete(results).where(this_id)


tables: Final = lru_cache(Tables)
"""The tables under a name, made once."""


def options(name: str, schema: str) -> dict[str, Any]:
    """The options of connections whose tables are called *name* and are in *schema*; empty: the user's default."""
    return {_OPTION: tables(name), "schema_translate_map": {None: schema or None}}


def of(connection: sa.Connection) -> Tables:
    """The tables that *connection* is for."""
    found: Tables = connection.get_execution_options()[_OPTION]
    return found


def ensure(connection: sa.Connection) -> int:
    """Make the tables unless they are there; answers their version. Raises `Unfit` if there is one that is not ours."""
    ours = of(connection)
    _refuse_foreign(connection, ours.results)
    ours.metadata.create_all(connection)
    version = connection.scalar(sa.select(sa.func.max(ours.versions.c.version)))
    if version is None:
        connection.execute(sa.insert(ours.versions), {"version": VERSION})
    return version or VERSION


def put(connection: sa.Connection, rows: Sequence[Row], now: int) -> bool:
    """Store *rows* where nothing is, or something expired, or the claim of the same owner; tells if all were new."""
    return _write(connection, of(connection).replace, rows, now)


def claim(connection: sa.Connection, rows: Sequence[Row], now: int) -> bool:
    """Store *rows*, which are claims, where no living record is; tells if all were new."""
    return _write(connection, of(connection).take_over, rows, now)


def read(connection: sa.Connection, ids: Collection[str], now: int) -> dict[str, bytes]:
    """The records of *ids* that have not expired."""
    found = connection.execute(of(connection).read, {"ids": list(ids), "now": now})
    return {job_id: bytes(value) for job_id, value in found}


def delete(connection: sa.Connection, job_id: str) -> None:
    """Delete the row of *job_id*."""
    connection.execute(of(connection).delete, {"this_id": job_id})


def clean(connection: sa.Connection, now: int, most: int) -> int:
    """Delete up to *most* rows that have expired; answers how many it found."""
    stale = list(connection.scalars(of(connection).stale, {"now": now, "most": most}))
    if stale:
        connection.execute(of(connection).clean, {"ids": stale, "now": now})
    return len(stale)


def _write(connection: sa.Connection, change: sa.Update, rows: Sequence[Row], now: int) -> bool:
    # Insert first: it waits for whoever inserts the same id, so that the update sees what that one has committed.
    if sql_rows.add(connection, of(connection).results, rows) == len(rows):
        return True
    changes = [{**row, "this_id": row["id"], "this_owner": row["owner"], "now": now} for row in rows]
    connection.execute(change, changes)
    return False


def _refuse_foreign(connection: sa.Connection, table: sa.Table) -> None:
    schema = connection.get_execution_options()["schema_translate_map"][None]
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name, schema):
        return
    columns = {column["name"] for column in inspector.get_columns(table.name, schema)}
    if missing := sorted(set(table.c.keys()) - columns):
        raise Unfit(
            f"table {table.name} is not Umbel's, it has no column {missing[0]}: give another name in "
            "database_table_names, or leave that out"
        )
