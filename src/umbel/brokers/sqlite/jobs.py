"""`SqliteJobs`: the verbs of single jobs on one file. What they do is in `revoking` and `listing`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from umbel.brokers.sqlite import listing, revoking
from umbel.brokers.sqlite.operations import Settled
from umbel.brokers.sqlite.revoking import JOBS, Lessee
from umbel.brokers.sqlite.sessions import Terms
from umbel.contracts.broker import Settlement
from umbel.contracts.jobs import Listed, Revoked
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.model.job import Delivery
from umbel.states import Place

T = TypeVar("T")

EVERYBODY = 1_000_000
"""How many waiters a queue wakes that goes on again: all there are."""

_Step: TypeAlias = Callable[[Connection], T]
_After: TypeAlias = Callable[[T], None] | None


class SqliteJobs:
    """The jobs in the file of *engine*.

    *terms* tells on what terms a session of so many seconds lives; *ring* wakes whoever waits for jobs, *announce* also
    those who wait for their ends.
    """

    def __init__(
        self,
        engine: SqliteEngine,
        clock: Clock,
        terms: Callable[[float], Terms],
        ring: Callable[[Counter[str]], None],
        announce: Callable[[Settled], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._terms = terms
        self._ring = ring
        self._announce = announce

    # --- stopping

    def revoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """Doom jobs and lease those that wait; see `JobStore.revoke`."""
        return self._call(self._revoking(session, keys, lease))

    async def arevoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """The async twin of `revoke`."""
        return await self._submit(self._revoking(session, keys, lease))

    def purge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """Doom and lease jobs that wait; see `JobStore.purge`."""
        return self._call(self._purging(session, queue, limit, lease))

    async def apurge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """The async twin of `purge`."""
        return await self._submit(self._purging(session, queue, limit, lease))

    def end(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle and close the session; see `JobStore.end`."""
        return self._engine.call(self._ending(session, settlements), after=self._announce).ours

    async def aend(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """The async twin of `end`."""
        return (await self._engine.submit(self._ending(session, settlements), after=self._announce)).ours

    # --- showing

    def jobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """A page of the jobs of one place; see `JobStore.jobs`."""
        listing.check(place)
        return self._engine.read(lambda connection: listing.page(connection, queue, place, after, limit))

    async def ajobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """The async twin of `jobs`."""
        listing.check(place)
        return await self._engine.submit_read(lambda connection: listing.page(connection, queue, place, after, limit))

    # --- dead letters

    def revive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Make dead letters ready again; see `JobStore.revive`."""
        return self._call(lambda connection: revoking.revive(connection, queue, ids), self._revived(queue))

    async def arevive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `revive`."""
        return await self._submit(lambda connection: revoking.revive(connection, queue, ids), self._revived(queue))

    def discard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete dead letters; see `JobStore.discard`."""
        return self._call(lambda connection: revoking.discard(connection, queue, ids))

    async def adiscard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `discard`."""
        return await self._submit(lambda connection: revoking.discard(connection, queue, ids))

    # --- pausing, and notes

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody receive from a queue, or everybody again; see `JobStore.pause`."""
        self._call(lambda connection: _pause(connection, queue, paused=paused), self._paused(queue, paused=paused))

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        after = self._paused(queue, paused=paused)
        await self._submit(lambda connection: _pause(connection, queue, paused=paused), after)

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which queues are paused; see `JobStore.paused`."""
        return self._engine.read(lambda connection: _which_are_paused(connection, queues))

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        return await self._engine.submit_read(lambda connection: _which_are_paused(connection, queues))

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep notes with their jobs; see `JobStore.note`."""
        return await self._engine.submit(
            lambda connection: revoking.note(connection, session, notes), durable=Durability.NONE
        )

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Replace the envelopes of jobs; see `JobStore.amend`."""
        return await self._submit(lambda connection: revoking.note(connection, session, amended, "amend"))

    # ---

    def _call(self, step: _Step[T], after: _After[T] = None) -> T:
        return self._engine.call(step, durable=Durability.ANSWERED, after=after)

    async def _submit(self, step: _Step[T], after: _After[T] = None) -> T:
        return await self._engine.submit(step, durable=Durability.ANSWERED, after=after)

    def _revoking(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> _Step[list[Revoked]]:
        def step(connection: Connection) -> list[Revoked]:
            return revoking.revoke(connection, self._clock, Lessee(connection, self._terms(lease), session), keys)

        return step

    def _purging(self, session: str, queue: str, limit: int, lease: float) -> _Step[list[Delivery]]:
        def step(connection: Connection) -> list[Delivery]:
            lessee = Lessee(connection, self._terms(lease), session)
            return revoking.purge(connection, self._clock, lessee, queue, limit)

        return step

    def _ending(self, session: str, settlements: Sequence[Settlement]) -> _Step[Settled]:
        return lambda connection: revoking.end(connection, self._clock, session, settlements)

    def _revived(self, queue: str) -> Callable[[list[bool]], None]:
        return lambda revived: self._ring(Counter({queue: sum(revived)}))

    def _paused(self, queue: str, *, paused: bool) -> Callable[[None], None]:
        return lambda _: None if paused else self._ring(Counter({queue: EVERYBODY}))


def _pause(connection: Connection, queue: str, *, paused: bool) -> None:
    connection.execute(JOBS["pause"], (queue, int(paused)))


def _which_are_paused(connection: Connection, queues: Sequence[str]) -> list[bool]:
    return [connection.execute(JOBS["paused"], (queue,)).fetchone() is not None for queue in queues]
