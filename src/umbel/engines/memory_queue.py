"""One queue in memory: where each job is, who holds it, and the rules of leases. Knows no lock and no clock."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from umbel.engines.memory_limits import Limits
from umbel.model.ageing import MOST_RAISED, Front, overdue, seen
from umbel.model.job import FIRST, Counts, Doom
from umbel.states import Place

LEVELS: Final = 10


class Entry(msgspec.Struct):
    """A job as its queue keeps it, wherever it is at the moment; *note* is its last one."""

    level: int
    envelope: bytes
    counts: Counts = FIRST
    returned: bool = False
    note: bytes = b""

    def charge(self, extra: Counts = FIRST) -> None:
        """Add *extra* to the counts; a mark is for one delivery, so it ends here."""
        old = self.counts
        self.counts = Counts(
            old.retries + extra.retries, old.crashes + extra.crashes, old.losses + extra.losses, doom=old.doom
        )

    def doom(self, doom: Doom) -> None:
        """Let it never run again; the first doom of a job stays."""
        if doom and not self.counts.doom:
            self.counts = msgspec.structs.replace(self.counts, doom=doom)

    def recount(self, counts: Counts) -> None:
        """Take other *counts*, all but a doom that it has."""
        old, self.counts = self.counts, counts
        if old.doom:
            self.counts = msgspec.structs.replace(counts, doom=old.doom)


class Session(msgspec.Struct):
    """An open session: until when (unix time), the number of its last receive, and id to number of what it holds."""

    deadline: float
    info: bytes
    alive: bool = True
    number: int = 0
    held: dict[str, int] = {}


class Queue:
    """One queue. *jobs* is the truth: each id in it is ready, delayed, held by a limit or a session, parked or dead.

    *dead* are the dead letters and the unix time at which each was buried. Nobody receives from a *paused* one.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Entry] = {}
        self.ready: tuple[deque[str], ...] = tuple(deque() for _ in range(LEVELS))
        self.delayed: list[tuple[float, int, str]] = []
        self.sessions: dict[str, Session] = {}
        self.parked: dict[str, list[str]] = {}
        self.dead: dict[str, float] = {}
        self.limits = Limits()
        self.fronts: dict[int, Front] = {}
        self.paused = False
        self._gone: set[str] = set()
        self._seen: float | None = None
        self._hold = 0.0
        self._order = 0

    # --- places

    def add(self, job_id: str, level: int, envelope: bytes) -> None:
        """Know a new job, which whoever calls puts into its place."""
        self.jobs[job_id] = Entry(level, envelope)

    def place(self, job_id: str, level: int, due: float, now: float) -> None:
        """Put a job among the delayed ones if it is due later than *now*, else at the end of its level."""
        if due > now:
            self._order += 1
            heapq.heappush(self.delayed, (due, self._order, job_id))
        else:
            self.ready[level].append(job_id)

    def promote(self, now: float, limit: int) -> int:
        """Make ready up to *limit* jobs that are due, earliest first; answers how many."""
        moved = 0
        while moved < limit and self.delayed and self.delayed[0][0] <= now:
            job_id = heapq.heappop(self.delayed)[2]
            self.ready[self.jobs[job_id].level].append(job_id)
            moved += 1
        return moved

    def release(self, now: float, limit: int) -> int:
        """Make ready up to *limit* jobs that their limits let go; answers how many."""
        job_ids = self.limits.released(now, limit)
        for job_id in job_ids:
            self.ready[self.jobs[job_id].level].append(job_id)
        return len(job_ids)

    def front(self, job_ids: Iterable[str]) -> None:
        """Put jobs that come back at the front of their levels, in their order."""
        for job_id in reversed(list(job_ids)):
            entry = self.jobs[job_id]
            entry.returned = True
            self.ready[entry.level].appendleft(job_id)

    def unpark(self, task: str) -> int:
        """Make ready the jobs that are parked under *task*; answers how many."""
        job_ids = self.parked.pop(task, [])
        for job_id in job_ids:
            self.ready[self.jobs[job_id].level].append(job_id)
        return len(job_ids)

    def age(self, now: float, seconds: float) -> int:
        """Let jobs rise by one level of which none was taken for *seconds*; answers how many."""
        raised = 0
        for level in overdue(self.fronts, self._first(), now - seconds):
            for _ in range(min(MOST_RAISED, len(self.ready[level]))):
                job_id = self.ready[level].popleft()
                self.jobs[job_id].level = level - 1
                self.ready[level - 1].append(job_id)
                raised += 1
        self.fronts = seen(self.fronts, self._first(), now)
        return raised

    def _first(self) -> dict[int, str]:
        """Who stands at the front of each level that has one above it; nobody does while the queue is paused."""
        return {level: ready[0] for level, ready in enumerate(self.ready) if ready and level and not self.paused}

    def waiting(self) -> Iterator[str]:
        """The jobs that nobody runs and that have not ended: ready, delayed, held by a limit, parked."""
        delayed = (job_id for *_, job_id in sorted(self.delayed))
        return chain(*self.ready, delayed, list(self.limits.held), *self.parked.values())

    def places(self, job_ids: Collection[str]) -> dict[str, Place]:
        """Where each of *job_ids* is; those that are not in this queue are left out."""
        if not (known := self.jobs.keys() & set(job_ids)):
            return {}
        found: dict[str, Place] = dict.fromkeys(known, "ready")
        held = chain(*(each.held for each in self.sessions.values()))
        others: tuple[tuple[Place, Iterable[str]], ...] = (
            ("dead", self.dead),
            ("delayed", (job_id for *_, job_id in self.delayed)),
            ("held", self.limits.held),
            ("parked", chain(*self.parked.values())),
            ("running", held),
        )
        for place, there in others:
            for job_id in known.intersection(there):
                found[job_id] = place
        return found

    def lasts(self, job_id: str) -> bool:
        """Whether a job is here and has not ended."""
        return job_id in self.jobs and job_id not in self.dead

    def withdraw(self, job_ids: Collection[str]) -> None:
        """Take those of *job_ids* that wait out of their places."""
        self.ready = tuple(deque(each for each in ready if each not in job_ids) for ready in self.ready)
        self.delayed = [each for each in self.delayed if each[-1] not in job_ids]
        heapq.heapify(self.delayed)
        parked = {task: [each for each in names if each not in job_ids] for task, names in self.parked.items()}
        self.parked = {task: names for task, names in parked.items() if names}
        self.limits.withdraw(job_ids)

    def discard(self, job_id: str) -> bool:
        """Delete a dead letter; False if it is none."""
        if self.dead.pop(job_id, None) is None:
            return False
        del self.jobs[job_id]
        return True

    # --- leases

    def contact(self, now: float, lease: float) -> None:
        """Note that a worker called.

        After a silence of all, or a jump of the clock, nobody lapses for half a lease: whoever lives must be able to
        beat first, so that an outage doubles no job.
        """
        if self._seen is not None and abs(now - self._seen) > lease / 2:
            self._hold = now + lease / 2
        self._seen = now

    def open(self, session: str, deadline: float, info: bytes) -> bool:
        """Open a session; False if it is or was open."""
        if session in self.sessions or session in self._gone:
            return False
        self.sessions[session] = Session(deadline, info)
        return True

    def renew(self, session: str, deadline: float, info: bytes) -> bool:
        """Renew the lease of a session; False if it is dead or unknown. A lapsed one that nobody reclaimed lives on."""
        if not self.alive(session):
            return False
        holder = self.sessions[session]
        holder.deadline, holder.info = deadline, info
        return True

    def alive(self, session: str) -> bool:
        """Tell whether the session is open and was not declared dead."""
        holder = self.sessions.get(session)
        return holder is not None and holder.alive

    def holds(self, session: str, job_id: str, number: int) -> bool:
        """The fence: the session lives and holds the job, received under exactly this number."""
        return self.alive(session) and self.sessions[session].held.get(job_id) == number

    def lease(self, session: str, job_ids: Collection[str], deadline: float) -> bool:
        """Doom those of *job_ids* that wait and give them to the new *session*; False if that one is over."""
        if not (self.open(session, deadline, b"") or self.alive(session)):
            return False
        holder = self.sessions[session]
        holder.number = 1
        holder.held |= dict.fromkeys(job_ids, 1)
        self.withdraw(job_ids)
        for job_id in job_ids:
            self.jobs[job_id].doom("revoked")
        return True

    def held_by(self, session: str) -> list[str]:
        """The jobs that a session holds."""
        holder = self.sessions.get(session)
        return list(holder.held) if holder is not None else []

    def lapsed(self, now: float, lease: float) -> list[str]:
        """The sessions whose lease is over, and those already dead that still have jobs to return."""
        for holder in self.sessions.values():
            if holder.deadline > now + 2 * lease:  # the clock was set back
                holder.deadline = now + lease
        return [
            session
            for session, holder in self.sessions.items()
            if not holder.alive or (holder.deadline <= now and self._hold <= now)
        ]

    def declare_dead(self, session: str, limit: int, charge: Callable[[str, Entry], Counts]) -> int:
        """Declare a session dead and return up to *limit* of its jobs, each with its *charge*; answers how many."""
        holder = self.sessions[session]
        holder.alive = False
        moved = list(holder.held)[:limit]
        for job_id in moved:
            entry = self.jobs[job_id]
            entry.charge(charge(job_id, entry))
            del holder.held[job_id]
        self.front(moved)
        if not holder.held:
            del self.sessions[session]
            self._gone.add(session)
        return len(moved)

    def close(self, session: str) -> None:
        """Return, uncharged, what a session still holds; it is over."""
        if self.alive(session):
            self.declare_dead(session, len(self.jobs), lambda _, __: FIRST)

    # --- what comes next

    def next_due(self) -> float | None:
        """The unix time at which the first delayed job is due, or a limit releases one."""
        released = self.limits.next_due()
        if not self.delayed:
            return released
        delayed = self.delayed[0][0]
        return delayed if released is None else min(delayed, released)

    def next_deadline(self) -> float | None:
        """The unix time at which the first session lapses; in the past while a dead one has jobs left to return."""
        deadlines = (max(each.deadline, self._hold) if each.alive else 0.0 for each in self.sessions.values())
        return min(deadlines, default=None)
