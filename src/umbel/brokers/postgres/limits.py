"""`PostgresLimits`: the verbs of limits in one database. What each does is in `limit_operations`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from umbel.brokers.postgres import limit_operations
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.operation import adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.model.limit import Limit, Pace


class PostgresLimits:
    """The limits of the database of *engine*; *now* answers what statements take for the time."""

    def __init__(self, engine: Engine, bells: Bells, now: Callable[[], str | None]) -> None:
        self._engine = engine
        self._bells = bells
        self._now = now

    def admit(self, admissions: Sequence[Admission]) -> list[str]:
        """Send jobs under limits; see `LimitStore.admit`. A step is 500 of a queue, or all if it has a bound."""
        admitted = drive(limit_operations.admit(admissions, self._now()), self._engine.call)
        self._bells.ring(admitted.rung)
        return admitted.standing

    async def aadmit(self, admissions: Sequence[Admission]) -> list[str]:
        """The async twin of `admit`."""
        admitted = await adrive(limit_operations.admit(admissions, self._now()), self._engine.acall)
        await self._bells.aring(admitted.rung)
        return admitted.standing

    async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
        """Ask for deliveries that are about to start; see `LimitStore.enter`."""
        entered = await adrive(limit_operations.enter(session, entries, self._now()), self._engine.acall)
        self._bells.ring_later(entered.rung)
        return entered.answers

    async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
        """Give the places of jobs that are over to others; see `LimitStore.leave`."""
        tended = await adrive(limit_operations.leave(left, self._now()), self._engine.acall)
        self._bells.ring_later(tended.rung)

    def adjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """Let the limits of a task allow another pace; see `LimitStore.adjust`."""
        self._bells.ring(drive(limit_operations.adjust(queue, task, pace, self._now()), self._engine.call).rung)

    async def aadjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """The async twin of `adjust`."""
        tended = await adrive(limit_operations.adjust(queue, task, pace, self._now()), self._engine.acall)
        await self._bells.aring(tended.rung)

    async def adjusted(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The tasks that are adjusted, with their queues; see `LimitStore.adjusted`."""
        return await adrive(limit_operations.adjusted(queues), self._engine.acall)

    def limits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """A page of the limits of a queue; see `LimitStore.limits`."""
        return drive(limit_operations.limits(queue, after, limit), self._engine.call)

    async def alimits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """The async twin of `limits`."""
        return await adrive(limit_operations.limits(queue, after, limit), self._engine.acall)
