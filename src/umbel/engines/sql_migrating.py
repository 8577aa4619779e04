"""The tables of claims and what is kept beside them: made, and brought up to date, version by version.

A step may run again after it broke off: not every database takes back what a transaction did to tables. The tables are
described as they are today, so a step finds those that it makes new as later steps would leave them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateColumn

from umbel.engines import sql_claims, sql_flows, sql_letters, sql_outbox, sql_rows, sql_schedules, sql_table
from umbel.engines.statements import statements
from umbel.engines.unfit import Unfit

METADATA: Final = sa.MetaData()
VERSIONS: Final = sa.Table(
    "umbel_claim_version",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False, comment="to which the tables were brought"),
)

_SQL: Final = statements("umbel.engines", "sql_migrating.sql")
_LOCK_NAME: Final = "umbel_claims"
_LOCK_NUMBER: Final = 0x756D626563  # so that a user's own locks are others
_LOCK_SECONDS: Final = 10


def ensure(connection: sa.Connection) -> int:
    """Make the tables, or bring them up to date; those of results, too, whose version it answers.

    Raises `Unfit` if a newer Umbel has made them.
    """
    if _version(connection) == len(STEPS):
        return sql_table.ensure(connection)
    with _alone(connection):
        VERSIONS.create(connection, checkfirst=True)
        found = _version(connection)
        if found > len(STEPS):
            message = (
                f"the tables of claims were made by a newer Umbel (they have version {found}, this one knows "
                f"{len(STEPS)}): install that version here too"
            )
            raise Unfit(message)
        results = sql_table.ensure(connection)
        for number, step in enumerate(STEPS[found:], found + 1):
            step(connection)
            sql_rows.add(connection, VERSIONS, [{"version": number}])
        return results


def _version(connection: sa.Connection) -> int:
    if not sa.inspect(connection).has_table(VERSIONS.name, _schema(connection)):
        return 0
    return connection.scalar(sa.select(sa.func.max(VERSIONS.c.version))) or 0


@contextmanager
def _alone(connection: sa.Connection) -> Generator[None]:
    """Nobody else changes tables of claims meanwhile; a lock of the server, as tables are not made in a transaction."""
    match connection.dialect.name:
        case "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
            yield
        case "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
        case _:
            connection.execute(sa.select(sa.func.get_lock(_LOCK_NAME, _LOCK_SECONDS)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.release_lock(_LOCK_NAME)))


def _schema(connection: sa.Connection) -> str | None:
    found: str | None = connection.get_execution_options().get("schema_translate_map", {}).get(None)
    return found


def _claims(connection: sa.Connection) -> None:
    """1: claims, boxes and events. Tables from before there were versions may lack the columns that came last."""
    for metadata in (sql_claims.METADATA, sql_letters.METADATA):
        metadata.create_all(connection)
    for column in (sql_claims.JOBS.c.note, sql_claims.JOBS.c.envelope):
        add_column(connection, column)


def _flows(connection: sa.Connection) -> None:
    """2: flows, schedules, and the outboxes of both."""
    for metadata in (sql_flows.METADATA, sql_schedules.METADATA, sql_outbox.METADATA):
        metadata.create_all(connection)


STEPS: Final[Sequence[Callable[[sa.Connection], None]]] = (_claims, _flows)
"""What brings the tables to version 1, 2 and so on. Only ever appended to: what was released stays as it is."""


def add_column(connection: sa.Connection, column: sa.Column[bytes]) -> None:
    """Add *column*, which may be null, to its table unless it is there."""
    table = column.table
    schema = _schema(connection)
    if column.name in {each["name"] for each in sa.inspect(connection).get_columns(table.name, schema)}:
        return
    preparer = connection.dialect.identifier_preparer
    place = preparer.quote(table.name) if not schema else f"{preparer.quote(schema)}.{preparer.quote(table.name)}"
    what = CreateColumn(column).compile(dialect=connection.dialect)
    connection.exec_driver_sql(_SQL["add_column"].format(place=place, column=what))
