"""`RedisSchedules`: the verbs of schedules; their rows live in a slot of their own.

In a Cluster a job's queue may be on another node: the step leaves the job in the outbox of the rows, and whoever wrote
sends it on; what a process leaves there that dies in between is sent by the next reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from umbel.brokers.redis import outbox
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.operations import Steps, named
from umbel.engines import redis_schedules
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_schedules import HOME
from umbel.model.job import Job
from umbel.model.schedule import Change, Table


class RedisSchedules:
    """The schedules of one database; *call* and *acall* send commands, *sent* is told of jobs that were sent."""

    def __init__(
        self, calls: Calls, call: Callable[..., Any], acall: Callable[..., Any], sent: Callable[[Sequence[Job]], None]
    ) -> None:
        self._calls = calls
        self._call = call
        self._acall = acall
        self._sent = sent
        self._known: set[str] = set()

    def read(self, since: int) -> Table:
        """The rows that changed; see `ScheduleStore.read`."""
        return drive(named(self._calls, [HOME], self._reading(since)), self._call)

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return await adrive(named(self._calls, [HOME], self._reading(since)), self._acall)

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*; see `ScheduleStore.write`."""
        return drive(named(self._calls, [HOME], self._writing(changes)), self._call)

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        return await adrive(named(self._calls, [HOME], self._writing(changes)), self._acall)

    def _reading(self, since: int) -> Steps[Table]:
        if self._calls.clustered:
            yield from outbox.emptied(self._calls, [HOME])
        return (yield from redis_schedules.read(self._calls, since))

    def _writing(self, changes: Sequence[Change]) -> Steps[list[bool]]:
        ours = yield from redis_schedules.write(self._calls, changes, self._known)
        jobs = [job for change, our in zip(changes, ours, strict=True) if our for job in change.jobs]
        if jobs and self._calls.clustered:
            yield from outbox.emptied(self._calls, [HOME])
        self._sent(jobs)
        return ours
