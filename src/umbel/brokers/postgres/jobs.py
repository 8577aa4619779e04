"""`PostgresJobs`: the verbs of single jobs in one database. What each does is in `job_operations`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from umbel.brokers.postgres import job_operations
from umbel.brokers.postgres.floors import Floors
from umbel.brokers.postgres.operations import Settled, Steps, Verbs
from umbel.contracts.broker import Settlement
from umbel.contracts.jobs import Listed, Revoked
from umbel.engines.operation import adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_topics import EVERYBODY
from umbel.model.job import Delivery
from umbel.states import Place

T = TypeVar("T")


class PostgresJobs:
    """The jobs of the database of *engine*; *floors* are told what comes back in front of them."""

    def __init__(self, engine: Engine, bells: Bells, verbs: Verbs, floors: Floors) -> None:
        self._engine = engine
        self._bells = bells
        self._verbs = verbs
        self._floors = floors

    # --- stopping

    def revoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """Doom jobs and lease those that wait; see `JobStore.revoke`. One step, and one each for those that change."""
        return self._do(job_operations.revoke(session, keys, lease, self._verbs.now()))

    async def arevoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """The async twin of `revoke`."""
        return await self._ado(job_operations.revoke(session, keys, lease, self._verbs.now()))

    def purge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """Doom and lease jobs that wait; see `JobStore.purge`."""
        return self._do(job_operations.purge(session, queue, limit, lease, self._verbs.now()))

    async def apurge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """The async twin of `purge`."""
        return await self._ado(job_operations.purge(session, queue, limit, lease, self._verbs.now()))

    def end(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle and close the session; see `JobStore.end`."""
        settled = self._do(job_operations.end(self._verbs, session, settlements))
        self._bells.ring(self._seen(settled), settled.ended)
        return settled.ours

    async def aend(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """The async twin of `end`."""
        settled = await self._ado(job_operations.end(self._verbs, session, settlements))
        await self._bells.aring(self._seen(settled), settled.ended)
        return settled.ours

    # --- showing

    def jobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """A page of the jobs of one place; see `JobStore.jobs`."""
        return self._do(job_operations.listed(queue, place, after, limit, self._verbs.now()))

    async def ajobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """The async twin of `jobs`."""
        return await self._ado(job_operations.listed(queue, place, after, limit, self._verbs.now()))

    # --- dead letters

    def revive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Make dead letters ready again; see `JobStore.revive`."""
        revived = self._do(job_operations.revive(queue, ids, self._verbs.now()))
        self._bells.ring(+Counter({queue: sum(revived)}))
        return revived

    async def arevive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `revive`."""
        revived = await self._ado(job_operations.revive(queue, ids, self._verbs.now()))
        await self._bells.aring(+Counter({queue: sum(revived)}))
        return revived

    def discard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete dead letters; see `JobStore.discard`."""
        return self._do(job_operations.discard(queue, ids))

    async def adiscard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `discard`."""
        return await self._ado(job_operations.discard(queue, ids))

    # --- pausing, and notes

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody receive from a queue, or everybody again; see `JobStore.pause`."""
        self._do(job_operations.pause(queue, paused=paused))
        self._bells.ring(Counter() if paused else Counter({queue: EVERYBODY}))

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        await self._ado(job_operations.pause(queue, paused=paused))
        await self._bells.aring(Counter() if paused else Counter({queue: EVERYBODY}))

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which queues are paused; see `JobStore.paused`."""
        return self._do(job_operations.paused(queues))

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        return await self._ado(job_operations.paused(queues))

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep notes with their jobs; see `JobStore.note`."""
        return await self._ado(job_operations.note(session, notes))

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Replace the envelopes of jobs; see `JobStore.amend`."""
        return await self._ado(job_operations.note(session, amended, "jobs.amend"))

    def _seen(self, settled: Settled) -> Counter[str]:
        """Whom to wake; what was given back is in front of what we were handed last."""
        self._floors.reset()
        return settled.rung

    def _do(self, steps: Steps[T]) -> T:
        return drive(steps, self._engine.call)

    async def _ado(self, steps: Steps[T]) -> T:
        return await adrive(steps, self._engine.acall)
