"""`LimitStore` on Redis. What each verb does is in `limit_operations`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from umbel.brokers.redis import limit_operations
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.operations import Steps, named
from umbel.brokers.redis.window import Acknowledged
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_opening import AnyEngine
from umbel.model.limit import Limit, Pace

T = TypeVar("T")


class RedisLimits:
    """The limits of one database, or of a Cluster: each in the slot of its queue."""

    def __init__(self, calls: Calls, engine: AnyEngine, acknowledged: Acknowledged, known: set[str]) -> None:
        self._calls = calls
        self._engine = engine
        self._acknowledged = acknowledged
        self._known = known

    def admit(self, admissions: Sequence[Admission]) -> list[str]:
        """Send jobs under limits; see `LimitStore.admit`. Steps of 200, unless the length of the queue is bounded."""
        queues = {each.job.queue for each in admissions}
        standing = self._do(queues, limit_operations.admit(self._calls, admissions, queues - self._known))
        self._note(queues, admissions, standing)
        return standing

    async def aadmit(self, admissions: Sequence[Admission]) -> list[str]:
        """The async twin of `admit`."""
        queues = {each.job.queue for each in admissions}
        standing = await self._ado(queues, limit_operations.admit(self._calls, admissions, queues - self._known))
        self._note(queues, admissions, standing)
        return standing

    async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
        """Ask for deliveries that are about to start; see `LimitStore.enter`."""
        queues = {each.delivery.queue for each in entries}
        return await self._ado(queues, limit_operations.enter(self._calls, session, entries))

    async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
        """Look after jobs that are over; a settle has given their places to others already, unless it was cut."""
        await self._ado({queue for queue, _, _ in left}, limit_operations.leave(self._calls, left))

    def adjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """Let the limits of a task allow another pace; see `LimitStore.adjust`."""
        self._do([queue], limit_operations.adjust(self._calls, queue, task, pace))

    async def aadjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """The async twin of `adjust`."""
        await self._ado([queue], limit_operations.adjust(self._calls, queue, task, pace))

    async def adjusted(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The tasks that are adjusted, with their queues; see `LimitStore.adjusted`."""
        return await self._ado(queues, limit_operations.adjusted(self._calls, queues))

    def limits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """How the limits of a queue stand; see `LimitStore.limits`."""
        return self._do([queue], limit_operations.limits(self._calls, queue, after, limit))

    async def alimits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """The async twin of `limits`."""
        return await self._ado([queue], limit_operations.limits(self._calls, queue, after, limit))

    def _note(self, queues: Collection[str], admissions: Sequence[Admission], standing: Sequence[str]) -> None:
        """Keep what was accepted, to say it again to a server that forgot it."""
        self._known.update(queues)
        self._acknowledged.admitted(
            [each for each, id_ in zip(admissions, standing, strict=True) if id_ == each.job.id]
        )

    def _do(self, queues: Collection[str], steps: Steps[T]) -> T:
        return drive(named(self._calls, queues, steps), self._engine.call)

    async def _ado(self, queues: Collection[str], steps: Steps[T]) -> T:
        return await adrive(named(self._calls, queues, steps), self._engine.acall)
