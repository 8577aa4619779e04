"""Claims on PostgreSQL in one round trip each: what nearly all jobs need, straight through libpq.

Nothing here begins a transaction: statements that travel together are one, so a client who falls silent holds no lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from umbel.engines import sql_table
from umbel.engines.postgres_command import Command, Query
from umbel.engines.postgres_values import Blobs, plain, texts
from umbel.engines.sql_claims import JOBS, PAUSES, SESSIONS
from umbel.engines.sql_outbox import HOMES
from umbel.engines.statements import statements

_TEXTS: Final = statements("umbel.engines", "sql_swift.sql")
_TABLES: Final = {"jobs": JOBS.name, "sessions": SESSIONS.name, "pauses": PAUSES.name, "outboxes": HOMES.name}


class Lease(NamedTuple):
    """Jobs that a session asks for in a queue; of *copies* there may be two messages. *now* is for tests."""

    session: str
    number: int
    queue: str
    ids: Sequence[str]
    copies: Sequence[bool]
    now: int | None = None


class Leased(NamedTuple):
    """Whether the session may receive, what its queue tells, which ids are leased, and which have a record."""

    open: bool
    paused: bool
    waiting: bool
    fresh: set[str]
    over: set[str]


class End(NamedTuple):
    """A job that has ended: its receive number, its record, and for how many ms to keep that."""

    id: str
    number: int
    record: bytes
    ttl: int


def lease(connection: sa.Connection, asked: Lease) -> Leased:
    """Lease the jobs of which nothing is known yet."""
    said = _said(connection)
    ids, number, now = texts(asked.ids), str(asked.number), _number(asked.now)
    place = (asked.session, number, asked.queue)
    first, over = _ask(
        connection,
        [Query(said["lease"], (*place, ids, plain(asked.copies), now)), Query(said["over"], (*place, ids, now))],
    )
    ((is_open, paused, waiting, fresh),) = first
    return Leased(is_open, paused, waiting, set(fresh), {job_id for (job_id,) in over})


def end(
    connection: sa.Connection, session: str, ended: Sequence[tuple[str, Sequence[End]]], now: int | None
) -> list[set[int]]:
    """End jobs of *session*, by queue; answers for each queue the places of those that it had."""
    statement = _said(connection)["end"]
    moment = _number(now)
    asked = [
        Query(
            statement,
            (
                session, queue, texts(job.id for job in jobs), plain(job.number for job in jobs),
                Blobs(job.record for job in jobs), plain(job.ttl for job in jobs), moment,
            ),
        )
        for queue, jobs in ended
    ]  # fmt: skip
    return [{place - 1 for (place,) in rows} for rows in _ask(connection, asked)]


def _ask(connection: sa.Connection, command: Command) -> list[Any]:
    from umbel.engines.sql_lines import ask  # who has no PostgreSQL has no psycopg

    return ask(connection, command)


def _said(connection: sa.Connection) -> dict[str, bytes]:
    schema = connection.get_execution_options()["schema_translate_map"][None]
    return _rendered(connection.dialect.identifier_preparer, sql_table.of(connection).results.name, schema)


@lru_cache(maxsize=16)
def _rendered(preparer: sa.sql.compiler.IdentifierPreparer, results: str, schema: str | None) -> dict[str, bytes]:
    before = f"{preparer.quote(schema)}." if schema else ""
    names = {key: before + preparer.quote(name) for key, name in (*_TABLES.items(), ("results", results))}
    return {name: text.format(**names).encode() for name, text in _TEXTS.items()}


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)
