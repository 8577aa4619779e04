"""`SqlEventLog`: the log of events in a SQL database. A batch may be there twice, if an answer was lost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from umbel.contracts.event_log import NOW, Kept, number_in
from umbel.engines import sql_letters
from umbel.engines.polling import apolled
from umbel.engines.sql import Connection, SqlEngine
from umbel.engines.threads import Threads

LOOK_SECONDS: Final = 0.25
MAX_READ: Final = 256
"""The most batches that one read answers, so that it stays below 32 MiB."""
_HIGHEST: Final = 2**63 - 1


class SqlEventLog:
    """The log in the database of *engine*, asked in *threads*."""

    def __init__(self, engine: SqlEngine, threads: Threads) -> None:
        self._engine = engine
        self._threads = threads

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Add *batches*; see `EventLog.append`."""
        if batches:
            self._threads.call(self._engine.run, partial(sql_letters.append, batches=batches, bound=bound))

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """The async twin of `append`."""
        if batches:
            await self._threads.acall(self._engine.run, partial(sql_letters.append, batches=batches, bound=bound))

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """What comes after the cursor *after*; see `EventLog.read`."""
        start = min(number_in(await self.end() if after == NOW else after), _HIGHEST)

        def step(connection: Connection) -> list[Kept]:
            found = sql_letters.read(connection, start, min(limit, MAX_READ))
            return [Kept(str(number), batch) for number, batch in found]

        return await apolled(lambda: self._threads.acall(self._engine.run, step), wait, LOOK_SECONDS)

    async def end(self) -> str:
        """The cursor of the newest batch; see `EventLog.end`."""
        return str(await self._threads.acall(self._engine.run, sql_letters.end) or "")

    async def count(self) -> int:
        """How many batches were ever added."""
        return await self._threads.acall(self._engine.run, sql_letters.count)
