"""`JobStore` on Redis. What each verb does is in `job_operations`.

What was revoked, purged and ended in the last seconds is said again to a server that is another one than before, as
all that was acknowledged; see `window`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from umbel.brokers.redis import job_operations
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.job_operations import MAX_REVOKED, parts, revoking
from umbel.brokers.redis.operations import Steps, named
from umbel.brokers.redis.window import Acknowledged
from umbel.contracts.broker import Settlement
from umbel.contracts.jobs import Listed, Revoked
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_opening import AnyEngine
from umbel.model.job import Delivery
from umbel.states import Place

T = TypeVar("T")


class RedisJobs:
    """The single jobs of one database, or of a Cluster."""

    def __init__(self, calls: Calls, engine: AnyEngine, acknowledged: Acknowledged, known: set[str]) -> None:
        self._calls = calls
        self._engine = engine
        self._acknowledged = acknowledged
        self._known = known

    # --- stopping

    def revoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """Doom jobs and lease those that wait; see `JobStore.revoke`. 250 jobs of a queue are one step."""
        found = self._do(_queues(keys), job_operations.revoke(self._calls, session, keys, lease))
        self._keep(session, found, lease)
        return found

    async def arevoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """The async twin of `revoke`."""
        found = await self._ado(_queues(keys), job_operations.revoke(self._calls, session, keys, lease))
        self._keep(session, found, lease)
        return found

    def purge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """Doom and lease jobs that wait; see `JobStore.purge`."""
        found = self._do([queue], job_operations.purge(self._calls, session, queue, limit, lease))
        self._keep(session, found, lease)
        return found

    async def apurge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """The async twin of `purge`."""
        found = await self._ado([queue], job_operations.purge(self._calls, session, queue, limit, lease))
        self._keep(session, found, lease)
        return found

    def end(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle and close the session; see `JobStore.end`."""
        queues = {item.delivery.queue for item in settlements}
        answers = self._do(queues, job_operations.end(self._calls, session, settlements, self._known))
        self._acknowledged.settled(session, settlements)
        return answers

    async def aend(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """The async twin of `end`."""
        queues = {item.delivery.queue for item in settlements}
        answers = await self._ado(queues, job_operations.end(self._calls, session, settlements, self._known))
        self._acknowledged.settled(session, settlements)
        return answers

    # --- showing

    def jobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """A page of the jobs of one place; see `JobStore.jobs`."""
        return self._do([queue], job_operations.jobs(self._calls, queue, place, after, limit))

    async def ajobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """The async twin of `jobs`."""
        return await self._ado([queue], job_operations.jobs(self._calls, queue, place, after, limit))

    # --- dead letters

    def revive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Make dead letters ready again; see `JobStore.revive`."""
        return self._do([queue], job_operations.each(self._calls, "revive", queue, ids))

    async def arevive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `revive`."""
        return await self._ado([queue], job_operations.each(self._calls, "revive", queue, ids))

    def discard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete dead letters; see `JobStore.discard`."""
        return self._do([queue], job_operations.each(self._calls, "discard", queue, ids))

    async def adiscard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `discard`."""
        return await self._ado([queue], job_operations.each(self._calls, "discard", queue, ids))

    # --- pausing, and notes

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody receive from *queue*, or everybody again; see `JobStore.pause`."""
        self._do([queue], job_operations.pause(self._calls, queue, paused=paused))

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        await self._ado([queue], job_operations.pause(self._calls, queue, paused=paused))

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which queues are paused; one round trip."""
        return self._do(queues, job_operations.paused(self._calls, queues))

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        return await self._ado(queues, job_operations.paused(self._calls, queues))

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep notes with their jobs; see `JobStore.note`."""
        queues = {delivery.queue for delivery, _ in notes}
        return await self._ado(queues, job_operations.note(self._calls, session, notes))

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Replace the envelopes of jobs; see `JobStore.amend`."""
        queues = {delivery.queue for delivery, _ in amended}
        return await self._ado(queues, job_operations.note(self._calls, session, amended, "amend"))

    # ---

    def _do(self, queues: Collection[str], steps: Steps[T]) -> T:
        return drive(named(self._calls, queues, steps), self._engine.call)

    async def _ado(self, queues: Collection[str], steps: Steps[T]) -> T:
        return await adrive(named(self._calls, queues, steps), self._engine.acall)

    def _keep(self, session: str, stopped: Sequence[Revoked] | Sequence[Delivery], lease: float) -> None:
        """Keep what was stopped, by its ids: to purge again could take more than that."""
        ids: dict[str, list[str]] = {}
        for each in stopped:
            if each.queue:
                ids.setdefault(each.queue, []).append(each.id)
        pieces = [(queue, part) for queue, ours in ids.items() for part in parts(ours, MAX_REVOKED)]
        commands = [revoking(self._calls, session, queue, part, lease) for queue, part in pieces]
        self._acknowledged.commanded(commands, sum(len(each) for ours in ids.values() for each in ours))


def _queues(keys: Sequence[tuple[str, str | None]]) -> set[str]:
    return {queue for _, queue in keys if queue is not None}
