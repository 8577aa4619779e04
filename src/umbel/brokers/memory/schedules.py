"""`MemorySchedules`: the verbs of schedules over a `Space`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from umbel.engines.memory import Space
from umbel.model.job import Job
from umbel.model.schedule import Change, Row, Table


class MemorySchedules:
    """The schedules of a space; *put* sends a job under the space's lock."""

    def __init__(self, space: Space, clock: Callable[[], float], put: Callable[[Job, float], None]) -> None:
        self._space = space
        self._clock = clock
        self._put = put

    def read(self, since: int) -> Table:
        """The rows that changed; see `ScheduleStore.read`."""
        with self._space.lock:
            rows = self._space.schedules
            changed = [Row(name, *row) for name, row in rows.items() if row[0] > since]
            return Table(self._clock(), len(rows), tuple(changed))

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return self.read(since)

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out *changes*; see `ScheduleStore.write`."""
        with self._space.lock:
            self._space.schedule_revision += 1
            return [self._change(each) for each in changes]

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        return self.write(changes)

    def _change(self, change: Change) -> bool:
        rows = self._space.schedules
        revision, _ = rows.get(change.name, (0, b""))
        if revision != change.revision or not (revision or change.value):
            return False
        if change.value:
            rows[change.name] = (self._space.schedule_revision, change.value)
        else:
            del rows[change.name]
        now = self._clock()
        for job in change.jobs:
            self._put(job, now)
        return True
