"""`SqliteLimits`: the verbs of limits on one file. What they do is in `admitting` and `gates`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from umbel.brokers.sqlite import admitting, operations
from umbel.brokers.sqlite.admitting import Admitted
from umbel.brokers.sqlite.gates import LIMITS, Gates
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.exceptions import QueueFull
from umbel.model.limit import Limit, Pace


class SqliteLimits:
    """The limits in the file of *engine*; *ring* wakes whoever waits for jobs."""

    def __init__(self, engine: SqliteEngine, clock: Clock, ring: Callable[[Counter[str]], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._ring = ring

    def admit(self, admissions: Sequence[Admission]) -> list[str]:
        """Send jobs under limits; see `LimitStore.admit`."""
        step = self._admitting(admissions)
        return _standing(self._engine.call(step, durable=Durability.ANSWERED, after=self._admitted))

    async def aadmit(self, admissions: Sequence[Admission]) -> list[str]:
        """The async twin of `admit`."""
        step = self._admitting(admissions)
        return _standing(await self._engine.submit(step, durable=Durability.ANSWERED, after=self._admitted))

    def _admitting(self, admissions: Sequence[Admission]) -> Callable[[Connection], Admitted]:
        def step(connection: Connection) -> Admitted:
            operations.name_queues(connection, {each.job.queue for each in admissions})
            return admitting.admit(connection, self._clock, admissions)

        return step

    def _admitted(self, admitted: Admitted) -> None:
        self._ring(admitted.rung)

    async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
        """Ask for deliveries that are about to start; see `LimitStore.enter`."""
        answers, _ = await self._engine.submit(
            lambda connection: admitting.enter(connection, self._clock, session, entries),
            durable=Durability.NONE,
            after=lambda entered: self._ring(entered[1]),
        )
        return answers

    async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
        """Give the places of jobs that are over to others; see `LimitStore.leave`."""

        def step(connection: Connection) -> Counter[str]:
            gates = Gates(connection, self._clock.wall())
            for queue, _, job_id in left:
                gates.forget("leave", queue, job_id)
            return gates.finish()

        await self._engine.submit(step, durable=Durability.NONE, after=self._ring)

    # --- steering

    def adjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """Let the limits of a task allow another pace; see `LimitStore.adjust`."""
        self._engine.call(self._adjusting(queue, task, pace), durable=Durability.ANSWERED, after=self._ring)

    async def aadjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """The async twin of `adjust`."""
        step = self._adjusting(queue, task, pace)
        await self._engine.submit(step, durable=Durability.ANSWERED, after=self._ring)

    def _adjusting(self, queue: str, task: str, pace: Pace | None) -> Callable[[Connection], Counter[str]]:
        def step(connection: Connection) -> Counter[str]:
            operations.name_queues(connection, [queue])
            if pace is None:
                connection.execute(LIMITS["unadjust"], (queue, task))
            else:
                said = (pace.concurrency, pace.interval, pace.burst)
                connection.execute(LIMITS["adjust"], (queue, task, *said))
            gates = Gates(connection, self._clock.wall())
            gates.touch_all(connection.execute(LIMITS["of_task"], (queue, task)).fetchall())
            return gates.finish()

        return step

    async def adjusted(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The tasks that are adjusted, with their queues; see `LimitStore.adjusted`."""
        wanted = frozenset(queues)
        rows = await self._engine.submit_read(lambda connection: connection.execute(LIMITS["adjusted"]).fetchall())
        return [(queue, task) for queue, task in rows if queue in wanted]

    def limits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """How the limits of a queue stand; see `LimitStore.limits`. A cursor is task and key of a limit."""
        return self._engine.read(lambda connection: _page(connection, queue, after, limit))

    async def alimits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """The async twin of `limits`."""
        return await self._engine.submit_read(lambda connection: _page(connection, queue, after, limit))


def _standing(admitted: Admitted) -> list[str]:
    if admitted.full:
        raise QueueFull(admitted.full)
    return admitted.standing


def _page(connection: Connection, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
    task, _, name = after.partition("\0")
    rows = connection.execute(LIMITS["standings"], (queue, limit, task, name))
    return [(f"{row[0]}\0{row[1]}", _shown(*row)) for row in rows]


def _shown(task: str, name: str, is_limit: int, *rest: Any) -> Standing:
    told, said, numbers = Pace(*rest[:3]), rest[3:6], rest[6:]
    pace = told if said[0] is None else Pace(*said)
    limit = Limit(task, name, pace=told) if is_limit else Limit(task)
    return Standing(limit, pace, said[0] is not None, *numbers)
