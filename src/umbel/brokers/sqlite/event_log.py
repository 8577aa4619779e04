"""`SqliteEventLog`: the verbs of the log of events on one file. A batch is a hint: nothing waits for the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from umbel.contracts.event_log import NOW, Kept, number_in
from umbel.engines.polling import apolled
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_file import Connection
from umbel.engines.statements import statements

EVENTS: Final = statements("umbel.brokers.sqlite.queries", "events.sql")
POLLING_SECONDS: Final = 0.25


class SqliteEventLog:
    """The log in the file of *engine*, shared by all processes of one host."""

    def __init__(self, engine: SqliteEngine) -> None:
        self._engine = engine

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Add *batches*; see `EventLog.append`."""
        if batches:
            self._engine.call(lambda connection: _append(connection, batches, bound), durable=Durability.NONE)

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """The async twin of `append`."""
        if batches:
            await self._engine.submit(lambda connection: _append(connection, batches, bound), durable=Durability.NONE)

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """What comes after the cursor *after*; see `EventLog.read`."""
        start = number_in(await self.end() if after == NOW else after)
        return await apolled(
            lambda: self._engine.submit_read(lambda connection: _read(connection, start, limit)), wait, POLLING_SECONDS
        )

    async def end(self) -> str:
        """The cursor of the newest batch; see `EventLog.end`."""
        return str(await self._engine.submit_read(_last) or "")

    async def count(self) -> int:
        """How many batches were ever added."""
        return await self._engine.submit_read(_last)


def _append(connection: Connection, batches: Sequence[bytes], bound: int) -> None:
    connection.executemany(EVENTS["append"], [(batch,) for batch in batches])
    connection.execute(EVENTS["trim"], (_last(connection) - bound,))


def _last(connection: Connection) -> int:
    row = connection.execute(EVENTS["last"]).fetchone()
    return 0 if row is None else row[0]


def _read(connection: Connection, start: int, limit: int) -> list[Kept]:
    # A cursor of another log, one that was moved away perhaps, is above all that there is.
    known = start if start <= _last(connection) else 0
    return [Kept(str(number), batch) for number, batch in connection.execute(EVENTS["read"], (known, limit))]
