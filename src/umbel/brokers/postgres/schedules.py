"""`PostgresSchedules`: the verbs of schedules in one database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from umbel.brokers.postgres import packing
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_command import Command, Query, Statements
from umbel.engines.postgres_values import Blobs, plain, texts
from umbel.model.schedule import Change, Row, Table

SQL: Final = Statements("umbel.brokers.postgres.queries", "schedules", "send")


class Written(msgspec.Struct, frozen=True):
    """Which changes were carried out, and how many to wake in which queue."""

    ours: list[bool]
    rung: Counter[str]


class PostgresSchedules:
    """The schedules of the database of *engine*; *now* answers what statements take for the time."""

    def __init__(self, engine: Engine, bells: Bells, now: Callable[[], str | None]) -> None:
        self._engine = engine
        self._bells = bells
        self._now = now

    def read(self, since: int) -> Table:
        """The rows that changed; see `ScheduleStore.read`."""
        return drive(_read(since, self._now()), self._engine.call)

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return await adrive(_read(since, self._now()), self._engine.acall)

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*; see `ScheduleStore.write`."""
        written = drive(_write(changes, self._now()), self._engine.call)
        self._bells.ring(written.rung)
        return written.ours

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        written = await adrive(_write(changes, self._now()), self._engine.acall)
        await self._bells.aring(written.rung)
        return written.ours


def _read(since: int, now: str | None) -> Operation[Command, Table]:
    (rows,) = yield [SQL("schedules.read", str(since), now)]
    moment, size = rows[0][:2]
    return Table(moment, size, tuple(Row(*row[2:]) for row in rows if row[2] is not None))


def _write(changes: Sequence[Change], now: str | None) -> Operation[Command, Written]:
    jobs = [(place, job) for place, change in enumerate(changes, 1) for job in change.jobs]
    command: list[Query] = [SQL("schedules.lock")]
    if jobs:
        command.insert(0, SQL("send.name_queues", texts(sorted({job.queue for _, job in jobs}))))
    written = SQL(
        "schedules.write",
        texts(change.name for change in changes),
        plain(change.revision for change in changes),
        Blobs(change.value for change in changes),
        plain(place for place, _ in jobs),
        *packing.jobs_values([job for _, job in jobs]),
        now,
    )
    *_, rows = yield [*command, written]
    won = {place for place, _, _ in rows if place}
    rung = Counter({queue: count for place, queue, count in rows if not place})
    return Written([place in won for place in range(1, len(changes) + 1)], rung)
