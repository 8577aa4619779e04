"""`PostgresEventLog`: the verbs of the log of events in one database. A notification only wakes; batches are rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from umbel.contracts.event_log import NOW, Kept, number_in
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_command import Command, Statements
from umbel.engines.postgres_listener import Listener, Nap
from umbel.engines.postgres_topics import mail, number
from umbel.engines.postgres_values import Blobs

SQL: Final = Statements("umbel.brokers.postgres.queries", "events")
LOGS: Final = 0x756D6265
"""The class of the advisory lock of the log: "umbe" in ASCII."""
BOX: Final = "umbel events"
"""The box that is rung for when there is more; nobody is told anything in it."""
MAX_READ: Final = 256
"""The most batches that one read answers, so that it stays below 32 MiB."""
_HIGHEST: Final = 2**63 - 1


class PostgresEventLog:
    """The log of the database of *engine*."""

    def __init__(self, engine: Engine, bells: Bells, listener: Listener) -> None:
        self._engine = engine
        self._bells = bells
        self._listener = listener

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Add *batches* and wake who waits; see `EventLog.append`."""
        if batches:
            drive(_append(batches, bound), self._engine.call)
            self._bells.ring_box(BOX)

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """The async twin of `append`."""
        if batches:
            await adrive(_append(batches, bound), self._engine.acall)
            await self._bells.aring_box(BOX)

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """What comes after the cursor *after*, waiting for the first; see `EventLog.read`."""
        end = time.monotonic() + wait
        start = min(number_in(await self.end() if after == NOW else after), _HIGHEST)
        found = await adrive(_read(start, limit), self._engine.acall)
        if found or wait <= 0:
            return found
        nap = Nap()
        with self._listener.expecting([mail(BOX)], nap.wake):
            while not found and (left := end - time.monotonic()) > 0:
                await nap.sleep(left)
                found = await adrive(_read(start, limit), self._engine.acall)
        return found

    async def end(self) -> str:
        """The cursor of the newest batch; see `EventLog.end`."""
        return await adrive(_end(), self._engine.acall)

    async def count(self) -> int:
        """How many batches were ever added; see `CountedLog`."""
        return await adrive(_count(), self._engine.acall)


def _append(batches: Sequence[bytes], bound: int) -> Operation[Command, None]:
    lock = SQL("events.lock", str(LOGS), str(number(mail(BOX))))
    yield [lock, SQL("events.append", Blobs(batches), str(bound))]


def _read(start: int, limit: int) -> Operation[Command, list[Kept]]:
    (rows,) = yield [SQL("events.read", str(start), str(min(limit, MAX_READ)))]
    return [Kept(str(place), batch) for place, batch in rows]


def _count() -> Operation[Command, int]:
    (rows,) = yield [SQL("events.count")]
    return int(rows[0][0]) if rows else 0


def _end() -> Operation[Command, str]:
    (rows,) = yield [SQL("events.end")]
    return str(rows[0][0]) if rows else ""
