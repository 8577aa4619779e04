"""`MemoryJobs`: the verbs of single jobs over a `Space`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain, islice
from typing import TypeAlias

from umbel.contracts.broker import SessionDead, Settlement
from umbel.contracts.jobs import MAX_TAKEN, WAITING, Listed, Revoked
from umbel.engines.memory import Space
from umbel.engines.memory_queue import Queue
from umbel.model.job import FIRST, Delivery
from umbel.states import Place

_Settle: TypeAlias = Callable[[str, Sequence[Settlement], float], list[bool]]


class MemoryJobs:
    """The jobs of a space; *settle* carries out verdicts under the space's lock. A cursor counts what was shown."""

    def __init__(self, space: Space, clock: Callable[[], float], settle: _Settle) -> None:
        self._space = space
        self._clock = clock
        self._settle = settle

    # --- stopping

    def revoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """Doom jobs and lease those that wait; see `JobStore.revoke`."""
        with self._space.lock:
            homes = [self._home(*key) for key in keys]
            wanted: dict[str, set[str]] = {}
            for (job_id, _), home in zip(keys, homes, strict=True):
                wanted.setdefault(home, set()).add(job_id)
            found = {home: self._doom(session, home, job_ids, lease) for home, job_ids in wanted.items()}
            return [
                found[home].get(job_id) or self._over(job_id, queue)
                for (job_id, queue), home in zip(keys, homes, strict=True)
            ]

    async def arevoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """The async twin of `revoke`."""
        return self.revoke(session, keys, lease)

    def purge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """Doom and lease jobs that wait; see `JobStore.purge`."""
        with self._space.lock:
            found_in = self._space.glance(queue)
            taken = list(islice(chain(found_in.held_by(session), found_in.waiting()), min(limit, MAX_TAKEN)))
            found = self._doom(session, queue, taken, lease)
            return [told.delivery for job_id in taken if (told := found[job_id]).delivery is not None]

    async def apurge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """The async twin of `purge`."""
        return self.purge(session, queue, limit, lease)

    def end(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Settle and close the session; see `JobStore.end`."""
        with self._space.lock:
            ours = self._settle(session, settlements, self._clock())
            for name, queue in self._space.queues.items():
                queue.close(session)
                self._space.work.ring(name)
            return ours

    async def aend(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """The async twin of `end`."""
        return self.end(session, settlements)

    # --- showing

    def jobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """A page of the jobs of one place; see `JobStore.jobs`."""
        with self._space.lock:
            start = int(after or 0)
            rows = islice(_rows(queue, self._space.glance(queue), place), start, start + limit)
            return [row(str(number)) for number, row in enumerate(rows, start + 1)]

    async def ajobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """The async twin of `jobs`."""
        return self.jobs(queue, place, after, limit)

    # --- dead letters

    def revive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Make dead letters ready again; see `JobStore.revive`."""
        with self._space.lock:
            return [self._revive(queue, job_id) for job_id in ids]

    async def arevive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `revive`."""
        return self.revive(queue, ids)

    def discard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete dead letters; see `JobStore.discard`."""
        with self._space.lock:
            found = self._space.glance(queue)
            return [found.discard(job_id) for job_id in ids]

    async def adiscard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `discard`."""
        return self.discard(queue, ids)

    # --- pausing, and notes

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody receive from a queue, or everybody again; see `JobStore.pause`."""
        with self._space.lock:
            self._space.queue(queue).paused = paused
            self._space.work.ring(queue)

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        self.pause(queue, paused=paused)

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which queues are paused; see `JobStore.paused`."""
        with self._space.lock:
            return [self._space.glance(queue).paused for queue in queues]

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        return self.paused(queues)

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep notes with their jobs; see `JobStore.note`."""
        with self._space.lock:
            return [self._note(session, *each) for each in notes]

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Replace the envelopes of jobs; see `JobStore.amend`."""
        with self._space.lock:
            return [self._amend(session, *each) for each in amended]

    # ---

    def _home(self, job_id: str, queue: str | None) -> str:
        """The queue that a job is in; if there is none, any."""
        if queue is not None:
            return queue
        return next((name for name, each in self._space.queues.items() if job_id in each.jobs), "")

    def _doom(self, session: str, name: str, job_ids: Collection[str], lease: float) -> dict[str, Revoked]:
        """Doom jobs of one queue; those that wait are leased to the new *session*."""
        queue = self._space.glance(name)
        places = queue.places(job_ids)
        waiting = {job_id for job_id, place in places.items() if place in WAITING}
        if waiting and not queue.lease(session, waiting, self._clock() + lease):
            raise SessionDead(session)
        for job_id, place in places.items():
            if place == "running":
                queue.jobs[job_id].doom("revoked")
        ours = set(queue.held_by(session))
        return {
            job_id: Revoked(job_id, place, name, _delivery(name, queue, job_id) if job_id in ours else None)
            for job_id, place in places.items()
        }

    def _over(self, job_id: str, queue: str | None) -> Revoked:
        ended = self._space.record(job_id, self._clock()) is not None
        return Revoked(job_id, "ended", queue or "") if ended else Revoked(job_id, "unknown")

    def _revive(self, name: str, job_id: str) -> bool:
        queue = self._space.glance(name)
        entry = queue.jobs.get(job_id)
        if entry is None or not queue.discard(job_id):
            return False
        entry.counts, entry.note = FIRST, b""
        self._space.records.pop(job_id, None)
        queue.jobs[job_id] = entry
        queue.ready[entry.level].append(job_id)
        self._space.work.ring(name)
        return True

    def _note(self, session: str, delivery: Delivery, note: bytes) -> bool:
        queue = self._space.glance(delivery.queue)
        ours = queue.holds(session, delivery.id, delivery.number)
        if ours:
            queue.jobs[delivery.id].note = note
        return ours

    def _amend(self, session: str, delivery: Delivery, envelope: bytes) -> bool:
        queue = self._space.glance(delivery.queue)
        ours = queue.holds(session, delivery.id, delivery.number)
        if ours:
            queue.jobs[delivery.id].envelope = envelope
        return ours


def _delivery(name: str, queue: Queue, job_id: str) -> Delivery:
    entry = queue.jobs[job_id]
    return Delivery(job_id, name, entry.level, 1, entry.envelope, entry.counts, entry.returned)


def _rows(name: str, queue: Queue, place: Place) -> Iterator[Callable[[str], Listed]]:
    """Each job of *place*, to be called with its cursor."""

    def row(job_id: str, at: float | None = None, session: str = "", task: str = "") -> Callable[[str], Listed]:
        entry = queue.jobs[job_id]
        level, envelope, counts, note = entry.level, entry.envelope, entry.counts, entry.note
        return lambda cursor: Listed(
            job_id, name, place, level, envelope, cursor, counts, at=at, session=session, note=note, task=task
        )

    match place:
        case "ready":
            return (row(job_id) for ready in queue.ready for job_id in ready)
        case "delayed":
            return (row(job_id, due) for due, _, job_id in sorted(queue.delayed))
        case "held":
            return (row(job_id) for job_id in queue.limits.waiting())
        case "running":
            return (row(job_id, session=key) for key, each in queue.sessions.items() for job_id in each.held)
        case "parked":
            return (row(job_id, task=task) for task, job_ids in queue.parked.items() for job_id in job_ids)
        case "dead":
            return (row(job_id, buried) for job_id, buried in queue.dead.items())
        case _:
            raise ValueError(f"no list is kept of jobs that are {place}")
