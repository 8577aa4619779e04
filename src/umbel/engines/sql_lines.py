"""Connections of SQLAlchemy to PostgreSQL on which no call waits for ever: a server may fall silent without a word."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event

from umbel.engines.postgres_connection import Line
from umbel.engines.statements import statements

T = TypeVar("T")

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


def limit(engine: sa.Engine, seconds: float) -> None:
    """Have each call on connections that *engine* opens from now on take at most *seconds*.

    Nor shall the server keep locks for longer of somebody whom it cannot hear any more in the midst of a transaction.
    """

    def connect(dialect: object, record: object, words: list[Any], options: dict[str, Any]) -> SqlLine:
        del dialect, record
        line = SqlLine.connect(*words, **options)
        line.limit = seconds
        try:
            line.execute(_LET_GO.encode(), (f"{seconds * 1000:.0f}ms", line.info.backend_pid))
            line.commit()
        except BaseException:
            line.close()
            raise
        return line

    event.listen(engine, "do_connect", connect)
