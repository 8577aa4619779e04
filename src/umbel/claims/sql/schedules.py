"""`SqlSchedules`: the verbs of schedules in a SQL database; what they send lies in the outbox of all schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from umbel.claims.sql import opening, verbs
from umbel.engines import sql_claims as tables
from umbel.engines import sql_outbox, sql_rows, sql_schedules
from umbel.engines.sql import Connection, SqlEngine
from umbel.engines.threads import Threads
from umbel.model.job import Job
from umbel.model.schedule import Change, Row, Table

HOME: Final = "~schedules"
"""Where jobs of schedules lie: no queue can have that name."""


class SqlSchedules:
    """The schedules in the database of *engine*, asked in *threads*; *now* answers unix ms on a connection."""

    def __init__(self, engine: SqlEngine, threads: Threads, now: Callable[[Connection], int]) -> None:
        self._engine = engine
        self._threads = threads
        self._now = now

    def read(self, since: int) -> Table:
        """The rows that changed; see `ScheduleStore.read`."""
        return self._threads.call(self._engine.run, partial(self._read, since=since))

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return await self._threads.acall(self._engine.run, partial(self._read, since=since))

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*, all in one transaction; see `ScheduleStore.write`."""
        return self._threads.call(self._engine.run, partial(self._write, changes=changes))

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        return await self._threads.acall(self._engine.run, partial(self._write, changes=changes))

    def _read(self, connection: Connection, since: int) -> Table:
        size, rows = sql_schedules.read(connection, since)
        return Table(self._now(connection) / 1000, size, tuple(Row(*row) for row in rows))

    def _write(self, connection: Connection, changes: Sequence[Change]) -> list[bool]:
        revision = sql_schedules.revise(connection)
        ours = [sql_schedules.write(connection, each.name, each.revision, revision, each.value) for each in changes]
        now = self._now(connection)
        sent = [job for change, our in zip(changes, ours, strict=True) if our for job in change.jobs]
        if sent:
            jobs = opening.posted(sent, now)
            _watch(connection, jobs, now)
            sql_outbox.put(connection, HOME, [sql_outbox.pack([job]) for job in jobs])
        return ours


def is_watched(connection: Connection, job_id: str, queue: str) -> bool:
    """Whether a job that a schedule sent has not ended; its end forgets what is known of it."""
    job = tables.look(connection, queue, job_id)
    return job is not None and job["place"] not in ("ended", "dead")


def _watch(connection: Connection, jobs: Sequence[Job], now: int) -> None:
    """Know *jobs* from now on, each until its end, for a month after its time at most."""
    rows = [
        {
            **tables.NEW_JOB,
            "queue": job.queue,
            "id": job.id,
            "expires": max(now, round(1000 * (job.eta or 0))) + verbs.MONTH,
        }
        for job in jobs
    ]
    sql_rows.add(connection, tables.JOBS, sorted(rows, key=lambda row: (row["queue"], row["id"])))
