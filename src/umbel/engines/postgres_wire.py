"""Commands on one connection, straight through libpq: the driver's cursors would take longer than the server.

Each statement is prepared at its first use. Several statements travel together and are one transaction, without a begin
and a commit: that is what the server makes of all that comes before a sync. Nobody waits here; see
`umbel.engines.postgres_connection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format

from umbel.engines.postgres_command import Command, Query, Rows
from umbel.engines.postgres_values import binary

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

_ANSWERS: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY})
_STALE: Final = "0A000"
"""What a prepared statement would answer has changed since."""


class _Asked(NamedTuple):
    """What a result answers: a statement, or with *name* its preparation; *after*: one that may fail."""

    statement: bytes
    name: bytes = b""
    after: bool = False


class Wire:
    """What is under way on *line*: one command at a time."""

    def __init__(self, line: psycopg.BaseConnection[Any]) -> None:
        self._line = line
        self._pgconn: PGconn = line.pgconn
        self._adapted = Transformer(line)
        self._names: dict[bytes, bytes] = {}
        self._number = 0
        self._asked: list[_Asked] = []
        self._results: list[PGresult] = []
        self._together = False
        self._syncs = 0
        self.unsent = False
        """Whether the socket would not take all of the command yet."""

    @property
    def socket(self) -> int:
        """What becomes readable when something has come."""
        return self._pgconn.socket

    def send(self, command: Command) -> None:
        """Put *command* on its way."""
        self._asked, self._results, self._syncs = [], [], 0
        prepares = self._line.prepare_threshold is not None  # a pooler's next server would not know them
        self._together = len(command) > 1 or (prepares and command[0].statement not in self._names)
        if self._together:
            self._pgconn.enter_pipeline_mode()
        for query in command:
            if query.after:
                self._sync()
            self._put(query, prepares=prepares)
        if self._together:
            self._sync()
        self.unsent = self._pgconn.flush() != 0

    def done(self) -> bool:
        """Take what has come; tells whether that is all."""
        pgconn = self._pgconn
        pgconn.consume_input()
        if self.unsent:
            self.unsent = pgconn.flush() != 0
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if pgconn.status == ConnStatus.BAD:
                raise self._error(result)
            if result is None:
                if not self._together:
                    return True
            elif result.status == ExecStatus.PIPELINE_SYNC:
                self._syncs -= 1
                if not self._syncs:
                    pgconn.exit_pipeline_mode()
                    return True
            else:
                self._results.append(result)
        return False

    def replies(self) -> list[Rows]:
        """The rows of each statement. Raises the error of the first that the server refused."""
        replies: list[Rows] = []
        for asked, result in zip(self._asked, self._results, strict=False):  # after an error there are fewer
            if result.status not in _ANSWERS:
                if not asked.after:
                    raise self._error(result)
                replies.append([])
            elif asked.name:
                self._names[asked.statement] = asked.name
            else:
                replies.append(self._rows(result))
        return replies

    def _sync(self) -> None:
        self._pgconn.pipeline_sync()
        self._syncs += 1

    def _put(self, query: Query, *, prepares: bool) -> None:
        values, formats = self._bound(query.values)
        if not prepares:
            self._pgconn.send_query_params(query.statement, values, None, formats, Format.BINARY)
        else:
            name = self._names.get(query.statement) or self._prepare(query.statement)
            self._pgconn.send_query_prepared(name, values, formats, Format.BINARY)
        self._asked.append(_Asked(query.statement, after=query.after))

    def _prepare(self, statement: bytes) -> bytes:
        for asked in self._asked:
            if asked.name and asked.statement == statement:
                return asked.name
        self._number += 1
        name = b"umbel_%d" % self._number
        self._pgconn.send_prepare(name, statement)
        self._asked.append(_Asked(statement, name))
        return name

    def _bound(self, values: Sequence[object]) -> tuple[list[bytes | None] | None, list[int] | None]:
        """*values* as they travel, and their formats; None if all are texts."""
        if not values:
            return None, None
        bound: list[bytes | None] = []
        formats: list[int] | None = None
        for value in values:
            if value is None:
                bound.append(None)
            elif isinstance(value, str):
                bound.append(self._text(value))
            else:
                if formats is None:
                    formats = [int(Format.TEXT)] * len(values)
                formats[len(bound)] = Format.BINARY
                bound.append(binary(value))
        return bound, formats

    def _text(self, value: str) -> bytes:
        if "\0" in value:  # libpq would send what is before it
            raise psycopg.DataError("PostgreSQL's texts cannot contain NUL")
        return value.encode(self._adapted.encoding)

    def _rows(self, result: PGresult) -> Rows:
        if not result.nfields:
            return []
        self._adapted.set_pgresult(result)
        return self._adapted.load_rows(0, result.ntuples, tuple)

    def _error(self, result: PGresult | None) -> psycopg.Error:
        if result is not None:
            error = error_from_result(result, self._adapted.encoding)
            if error.sqlstate == _STALE:
                self._names.clear()
            if error.sqlstate is not None:
                return error
        return psycopg.OperationalError(self._pgconn.get_error_message(self._adapted.encoding))
