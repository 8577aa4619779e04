"""`SqliteSchedules`: the verbs of schedules on one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from umbel.brokers.sqlite import operations
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.engines.statements import statements
from umbel.model.schedule import Change, Row, Table

SCHEDULES: Final = statements("umbel.brokers.sqlite.queries", "schedules.sql")


class Written(msgspec.Struct, frozen=True):
    """Which changes were carried out, and how many waiters to wake in which queue."""

    ours: list[bool]
    rung: Counter[str]


class SqliteSchedules:
    """The schedules in the file of *engine*; *ring* wakes whoever waits for jobs."""

    def __init__(self, engine: SqliteEngine, clock: Clock, ring: Callable[[Counter[str]], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._ring = ring

    def read(self, since: int) -> Table:
        """The rows that changed; see `ScheduleStore.read`."""
        return self._engine.read(lambda connection: _read(connection, self._clock, since))

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return await self._engine.submit_read(lambda connection: _read(connection, self._clock, since))

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*; see `ScheduleStore.write`."""
        return self._engine.call(
            lambda connection: _write(connection, self._clock, changes),
            durable=Durability.ANSWERED,
            after=lambda written: self._ring(written.rung),
        ).ours

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        written = await self._engine.submit(
            lambda connection: _write(connection, self._clock, changes),
            durable=Durability.ANSWERED,
            after=lambda written: self._ring(written.rung),
        )
        return written.ours


def _read(connection: Connection, clock: Clock, since: int) -> Table:
    rows = tuple(Row(*row) for row in connection.execute(SCHEDULES["read"], (since,)))
    (size,) = connection.execute(SCHEDULES["size"]).fetchone() or (0,)
    return Table(clock.wall() / 1000, size, rows)


def _write(connection: Connection, clock: Clock, changes: Sequence[Change]) -> Written:
    (revision,) = connection.execute(SCHEDULES["next"]).fetchall()[0]
    ours = [_change(connection, each, revision) for each in changes]
    jobs = [job for change, our in zip(changes, ours, strict=True) if our for job in change.jobs]
    if not jobs:
        return Written(ours, Counter())
    operations.name_queues(connection, {job.queue for job in jobs})
    return Written(ours, operations.send(connection, clock, jobs))


def _change(connection: Connection, change: Change, revision: int) -> bool:
    if not change.value:
        rows = connection.execute(SCHEDULES["remove"], (change.name, change.revision))
    elif change.revision:
        rows = connection.execute(SCHEDULES["replace"], (change.name, revision, change.value, change.revision))
    else:
        rows = connection.execute(SCHEDULES["add"], (change.name, revision, change.value))
    return bool(rows.fetchall())
