"""Many rows in one statement, on each database in its own way.

PostgreSQL is handed columns, as arrays. PyMySQL makes one statement of an insert with many rows by itself. SQLite is in
this process, where a statement for each row costs little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

Row = Mapping[str, Any]

_POSTGRESQL: Final = "postgresql"
_ALL: Final = "all_"
"""What the name of a column's array begins with: its own name is that of a new value in an update."""


def add(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """Insert *rows*, all with the same columns, that are not there; of a single one it answers 1 if it was not."""
    if not rows:
        return 0
    name = connection.dialect.name
    if len(rows) > 1 and name == _POSTGRESQL:
        return connection.execute(_ignoring_known(table, tuple(rows[0])), _columns(rows)).rowcount
    # Of one row drivers tell whether it was inserted; of several together some do not.
    return connection.execute(_adding(table, name), rows[0] if len(rows) == 1 else list(rows)).rowcount


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert *rows*, all with the same columns, of which none may be there."""
    if len(rows) > 1 and connection.dialect.name == _POSTGRESQL:
        connection.execute(_inserting_all(table, tuple(rows[0])), _columns(rows))
    elif rows:
        connection.execute(_inserting(table), list(rows))


def change(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Write *rows* of *table*, all with all of its columns, which are there and locked."""
    if not rows:
        return
    name = connection.dialect.name
    if name == _POSTGRESQL:
        connection.execute(_changing_all(table), _columns(rows))
    else:
        connection.execute(_changing(table, name), list(rows))


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {_ALL + name: [row[name] for row in rows] for name in rows[0]}


@lru_cache(maxsize=64)
def _adding(table: sa.Table, dialect: str) -> sa.Insert:
    statement: sa.Insert
    match dialect:
        case "postgresql":
            statement = postgresql.insert(table).on_conflict_do_nothing()
        case "sqlite":
            statement = sqlite.insert(table).on_conflict_do_nothing()
        case _:
            statement = mysql.insert(table).prefix_with("IGNORE")
    return statement.execution_options(preserve_rowcount=True)


@lru_cache(maxsize=64)
def _inserting(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@lru_cache(maxsize=64)
def _inserting_all(table: sa.Table, names: Sequence[str]) -> postgresql.Insert:
    given = _given(table, names)
    return postgresql.insert(table).from_select(list(names), sa.select(*(given.c[name] for name in names)))


@lru_cache(maxsize=64)
def _ignoring_known(table: sa.Table, names: Sequence[str]) -> sa.Insert:
    return _inserting_all(table, names).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


@lru_cache(maxsize=64)
def _changing(table: sa.Table, dialect: str) -> sa.Insert:
    keys = {column.name for column in table.primary_key}
    others = [column.name for column in table.columns if column.name not in keys]
    if dialect == "sqlite":
        upsert = sqlite.insert(table)
        return upsert.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={name: upsert.excluded[name] for name in others}
        )
    known = mysql.insert(table)
    return known.on_duplicate_key_update({name: known.inserted[name] for name in others})


@lru_cache(maxsize=64)
def _changing_all(table: sa.Table) -> sa.Update:
    given = _given(table, [column.name for column in table.columns])
    keys = [column.name for column in table.primary_key]
    others = [column.name for column in table.columns if column.name not in keys]
    return (
        sa.update(table)
        .where(*(table.c[name] == given.c[name] for name in keys))
        .values({name: given.c[name] for name in others})
    )


def _given(table: sa.Table, names: Sequence[str]) -> sa.TableValuedAlias:
    """Rows as PostgreSQL is handed them: an array for each of the columns *names*."""
    # A cast to a type with a length would cut what is too long, and not refuse it.
    types = {name: sa.String() if isinstance(table.c[name].type, sa.String) else table.c[name].type for name in names}
    arrays = [sa.bindparam(_ALL + name, type_=postgresql.ARRAY(types[name])) for name in names]
    columns = [sa.column(name, types[name]) for name in names]
    return sa.func.unnest(*arrays).table_valued(*columns, name="given").render_derived()
