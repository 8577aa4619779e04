"""`MemoryLimits`: the verbs of limits over a `Space`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.memory import Space
from umbel.engines.memory_limits import FULL_ROUND, Gate, Limits
from umbel.engines.memory_queue import Queue
from umbel.exceptions import QueueFull
from umbel.model.job import Job
from umbel.model.limit import Limit, Pace, Unique


class MemoryLimits:
    """The limits of a space; *put* sends a job under the space's lock."""

    def __init__(self, space: Space, clock: Callable[[], float], put: Callable[[Job, float], None]) -> None:
        self._space = space
        self._clock = clock
        self._put = put

    # --- sending

    def admit(self, admissions: Sequence[Admission]) -> list[str]:
        """Send jobs under limits; see `LimitStore.admit`."""
        with self._space.lock:
            now = self._clock()
            standing = self._choose(admissions, now)
            accepted = _accepted(admissions, standing)
            self._measure([each for each in accepted if not self._is_known(each.job, now)])
            for each in accepted:
                self._accept(each, now)
            self._release({each.job.queue for each in accepted}, now)
            return standing

    async def aadmit(self, admissions: Sequence[Admission]) -> list[str]:
        """The async twin of `admit`."""
        return self.admit(admissions)

    def _choose(self, admissions: Sequence[Admission], now: float) -> list[str]:
        """The id that stands for each of *admissions*: that of the holder of its key, or its own."""
        taken: dict[tuple[str, str], str] = {}
        standing: list[str] = []
        for each in admissions:
            job, unique = each.job, each.unique
            holder = job.id
            if unique is not None and not self._is_known(job, now):
                queue = self._space.glance(job.queue)
                keeper = queue.limits.keeper(unique, now, queue.lasts)
                holder = taken.setdefault((job.queue, unique.key), job.id if keeper is None else keeper.id)
            standing.append(holder)
        return standing

    def _measure(self, new: Sequence[Admission]) -> None:
        """Raise `QueueFull` if the *new* jobs do not fit into their queues."""
        more = Counter({each.job.queue: 0 for each in new})
        more.update({queue: len({each.job.id for each in new if each.job.queue == queue}) for queue in more})
        for each in new:
            queue = self._space.glance(each.job.queue)
            there = len(queue.jobs) - len(queue.dead)
            if each.max_length and there + more[each.job.queue] > each.max_length:
                raise QueueFull(f"queue {each.job.queue!r} has {there} jobs, and may have {each.max_length}")

    def _accept(self, admission: Admission, now: float) -> None:
        job = admission.job
        if self._is_known(job, now):
            return
        queue = self._space.queue(job.queue)
        if admission.unique is not None:
            queue.limits.keep(admission.unique, job.id, now)
        due = now + job.delay if job.eta is None else job.eta
        if admission.limit is None or due > now:
            self._put(job, now)
            return
        queue.add(job.id, job.level, job.envelope)
        queue.limits.hold(job.id, job.level, admission.limit, now)

    def _is_known(self, job: Job, now: float) -> bool:
        return job.id in self._space.glance(job.queue).jobs or self._space.record(job.id, now) is not None

    # --- running

    async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
        """Ask for deliveries that are about to start; see `LimitStore.enter`."""
        with self._space.lock:
            now = self._clock()
            answers = [self._enter(session, each, now) for each in entries]
            self._release({each.delivery.queue for each in entries}, now)
            return answers

    def _enter(self, session: str, entry: Entry, now: float) -> str:
        delivery, limit, unique = entry.delivery, entry.limit, entry.unique
        queue = self._space.glance(delivery.queue)
        if not queue.holds(session, delivery.id, delivery.number):
            return "held" if delivery.id in queue.limits.held else "lost"
        if delivery.counts.doom:
            return "run"
        keeper = None if unique is None else _rival(queue, unique, delivery.id, now)
        if keeper is not None:
            return f"taken:{keeper}"
        retries = queue.jobs[delivery.id].counts.retries
        if limit is not None and not queue.limits.enter(delivery.id, retries, limit, now):
            self._hold(session, queue, delivery.id, limit, now)
            return "held"
        if unique is not None:
            _start(queue.limits, unique, delivery.id, now)
        return "run"

    def _hold(self, session: str, queue: Queue, job_id: str, limit: Limit, now: float) -> None:
        del queue.sessions[session].held[job_id]
        entry = queue.jobs[job_id]
        entry.charge()
        entry.returned = True
        if entry.counts.doom:
            queue.ready[entry.level].append(job_id)
        else:
            queue.limits.hold(job_id, entry.level, limit, now)

    async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
        """Give the places of jobs that are over to others; a settle has seen to it already which are."""
        with self._space.lock:
            self._release({queue for queue, _, _ in left}, self._clock())

    # --- steering

    def adjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """Let the limits of a task allow another pace; see `LimitStore.adjust`."""
        with self._space.lock:
            self._space.queue(queue).limits.adjust(task, pace)
            self._release({queue}, self._clock())

    async def aadjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """The async twin of `adjust`."""
        self.adjust(queue, task, pace)

    async def adjusted(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The tasks that are adjusted, with their queues; see `LimitStore.adjusted`."""
        with self._space.lock:
            return [(queue, task) for queue in queues for task in self._space.glance(queue).limits.adjusted]

    def limits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """How the limits of a queue stand; see `LimitStore.limits`. A cursor is the name of a limit."""
        with self._space.lock:
            found = {_cursor(each.limit): each for each in _standings(self._space.glance(queue).limits)}
            return list(islice(((name, found[name]) for name in sorted(found) if name > after), limit))

    async def alimits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """The async twin of `limits`."""
        return self.limits(queue, after, limit)

    def _release(self, names: Collection[str], now: float) -> None:
        for name in names:
            self._space.queue(name).release(now, FULL_ROUND)
            self._space.work.ring(name)  # also whoever waits, so that it learns when the next falls due


def _accepted(admissions: Sequence[Admission], standing: Sequence[str]) -> list[Admission]:
    pairs = zip(admissions, standing, strict=True)
    return [each for each, holder in pairs if each.job.id == holder]


def _rival(queue: Queue, unique: Unique, job_id: str, now: float) -> str | None:
    """Another job whose key keeps this one from starting."""
    keeper = queue.limits.keeper(unique, now, queue.lasts)
    if keeper is None or keeper.id == job_id:
        return None
    if unique.seconds:
        return keeper.id if keeper.started else None
    return keeper.id if unique.scope == "done" else None


def _start(limits: Limits, unique: Unique, job_id: str, now: float) -> None:
    """Give the key to a job that runs from now on; with the scope "queued" take it away."""
    keeper = limits.keepers.get(unique.key)
    ours = keeper is not None and keeper.id == job_id
    if unique.seconds:
        still = ours and keeper is not None and keeper.until is not None and now < keeper.until
        if still and keeper is not None:
            keeper.started = True
        else:
            limits.keep(unique, job_id, now, started=True)
    elif unique.scope == "done":
        limits.keep(unique, job_id, now, started=True)
    elif ours:
        del limits.keepers[unique.key]


def _cursor(limit: Limit) -> str:
    return f"{limit.task}\0{limit.key}"


def _standings(limits: Limits) -> Iterator[Standing]:
    tasks: set[str] = set()
    for gate in limits.gates.values():
        if gate.held or gate.out or gate.entered:
            tasks.add(gate.limit.task)
            yield _standing(limits, gate)
    for task, pace in limits.adjusted.items():
        if task not in tasks:
            yield Standing(Limit(task), pace, adjusted=True)


def _standing(limits: Limits, gate: Gate) -> Standing:
    limit = Limit(gate.limit.task, gate.limit.key, pace=gate.told)
    turns = sum(bool(turn.levels) for turn in gate.turns.values())
    adjusted = gate.limit.task in limits.adjusted
    return Standing(limit, limits.pace(gate), adjusted, gate.held, gate.out, gate.entered, turns)
