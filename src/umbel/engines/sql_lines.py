"""Connections of SQLAlchemy to PostgreSQL on which no call waits for ever: a server may fall silent without a word."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from umbel.engines.postgres_command import Command, Rows
from umbel.engines.postgres_connection import Line
from umbel.engines.statements import statements

T = TypeVar("T")

PREPARED_AFTER: Final = 4
"""A statement that comes more often is prepared; never behind a pooler, whose next server would not know it."""
_LET_GO: Final = statements("umbel.engines", "sql_lines.sql")["let_go"]


class SqlLine(Line):
    """A `Line` that is closed by a call which takes too long, so that SQLAlchemy drops it with its neighbours."""

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        """See `Line.wait`."""
        end = time.monotonic() + self.limit
        try:
            return super().wait(gen, interval, timeout)
        except Line.OperationalError:
            if time.monotonic() >= end:
                self.pgconn.finish()
            raise


def ask(connection: sa.Connection, command: Command) -> list[Rows]:
    """The replies to *command*, which is one transaction, on a *connection* that has begun none.

    Raises `DBAPIError` as the connection itself does; without an answer the connection and its neighbours are dropped.
    """
    line: SqlLine = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        return line.run(command)
    except Line.Error as error:
        if error.sqlstate is None:
            line.pgconn.finish()
        if line.closed:
            connection.exec_driver_sql("")  # SQLAlchemy finds it closed, says so, and drops those of its age
        raise DBAPIError.instance(None, None, error, Line.Error, hide_parameters=True) from error


def limit(engine: sa.Engine, seconds: float) -> None:
    """Have each call on connections that *engine* opens from now on take at most *seconds*.

    Nor shall the server keep locks for longer of somebody whom it cannot hear any more in the midst of a transaction,
    nor take one for him: see `one_by_one` for what must not be said there.
    """

    def connect(dialect: object, record: object, words: list[Any], options: dict[str, Any]) -> SqlLine:
        del dialect, record
        line = SqlLine.connect(*words, **options)
        line.limit = seconds
        try:
            at_most = f"{seconds * 1000:.0f}ms"
            found = line.execute(_LET_GO.encode(), (at_most, at_most, line.info.backend_pid)).fetchall()
            line.commit()
            line.prepare_threshold = PREPARED_AFTER if found else None
        except BaseException:
            line.close()
            raise
        return line

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "do_executemany", one_by_one)


def one_by_one(cursor: Any, statement: str, rows: Sequence[Any], context: object) -> bool:
    """Have a statement with many *rows* carried out row by row: answers that it is done.

    psycopg would send them as a pipeline, which ends with a message that stops the server's watch over a client who
    falls silent afterwards: his locks would be kept for ever.
    """
    del context
    for row in rows:
        cursor.execute(statement, row)
    return True
