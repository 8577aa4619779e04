"""The broker contract in the plainest code, in the memory of this process: for tests, and the model of all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from umbel.brokers.memory.event_log import MemoryEventLog
from umbel.brokers.memory.flows import MemoryFlows
from umbel.brokers.memory.jobs import MemoryJobs
from umbel.brokers.memory.limits import MemoryLimits
from umbel.brokers.memory.mailbox import MemoryMailbox
from umbel.brokers.memory.schedules import MemorySchedules
from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead, Settlement
from umbel.contracts.capabilities import MEMORY
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines.memory import Ear, Space, space
from umbel.engines.memory_queue import Entry, Queue
from umbel.model.job import FIRST, MAX_PRIORITY, Counts, Delivery, Job
from umbel.settings import Settings

MAX_RECEIVED: Final = 256
MAX_RECEIVED_BYTES: Final = 1024 * 1024
MAX_MOVED: Final = 200
_TICK_SECONDS: Final = 0.001


def connect(url: str, settings: Settings) -> MemoryBroker:  # noqa: ARG001 - the shape of every broker's factory
    """The broker over the space that *url* names. Raises `ImproperlyConfigured`."""
    return MemoryBroker(space(url))


class MemoryBroker:
    """A broker over a `Space`: shared between the threads and event loops of this process, gone with it.

    *clock* answers unix seconds. Two brokers over one space are two clients: each counts its receives by itself.
    """

    powers: Final = MEMORY

    def __init__(self, space: Space, clock: Callable[[], float] | None = None) -> None:
        self._space = space
        self._clock = clock or time.time
        self._numbers: dict[str, int] = {}
        self._turn = 0
        self._flows = MemoryFlows(space, self._clock, self._put)

    @property
    def flow_store(self) -> MemoryFlows:
        """The verbs of flows on this engine."""
        return self._flows

    @property
    def schedule_store(self) -> MemorySchedules:
        """The verbs of schedules on this engine."""
        return MemorySchedules(self._space, self._clock, self._put)

    @property
    def job_store(self) -> MemoryJobs:
        """The verbs of single jobs on this engine."""
        return MemoryJobs(self._space, self._clock, self._settle_all)

    @property
    def mailbox(self) -> MemoryMailbox:
        """The verbs of boxes on this engine."""
        return MemoryMailbox(self._space, self._clock)

    @property
    def event_log(self) -> MemoryEventLog:
        """The verbs of the log of events on this engine."""
        return MemoryEventLog(self._space)

    @property
    def limit_store(self) -> MemoryLimits:
        """The verbs of limits on this engine."""
        return MemoryLimits(self._space, self._clock, self._put)

    # --- the producer's half

    def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*; see `Sender.send`."""
        now = self._clock()
        with self._space.lock:
            for job in jobs:
                self._put(job, now)

    async def asend(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*; see `Sender.send`."""
        self.send(jobs)

    def close(self) -> None:
        """Nothing to give back."""

    async def aclose(self) -> None:
        """Nothing to give back."""

    def _put(self, job: Job, now: float) -> None:
        space, job_id = self._space, job.id
        queue = space.queues.get(job.queue) or space.queue(job.queue)
        if job_id in queue.jobs or (job_id in space.records and space.record(job_id, now) is not None):
            return
        level = MAX_PRIORITY - job.priority
        queue.add(job_id, level, job.envelope)
        queue.place(job_id, level, now + job.delay if job.eta is None else job.eta, now)
        if job.queue in space.work.waiting:
            space.work.ring(job.queue)

    # --- sessions

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open sessions; see `Broker.heartbeat`."""
        now = self._clock()
        alive = dict.fromkeys(range(len(beats)), True)
        with self._space.lock:
            for queue in map(self._space.queue, queues):
                queue.contact(now, lease)
                beat = queue.open if opening else queue.renew
                for number, each in enumerate(beats):
                    alive[number] &= beat(each.session, now + lease, each.info)
        return list(alive.values())

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note that a quarantined delivery is about to start; see `Broker.mark`."""
        with self._space.lock:
            queue = self._space.queue(delivery.queue)
            if not queue.holds(session, delivery.id, delivery.number):
                return False
            entry = queue.jobs[delivery.id]
            entry.counts = msgspec.structs.replace(entry.counts, marked=True)
            return True

    # --- receiving

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease ready jobs to *session*; see `Broker.receive`."""
        deadline = time.monotonic() + wait
        while True:
            with self._space.lock:
                received = self._take(session, queues, limit)
                left = deadline - time.monotonic()
                if received or left <= 0:
                    return received
                ear = Ear()
                self._space.work.join(queues, ear.wake)  # before the lock is free: a send from now on rings
                due = self._next_due([name for name in queues if not self._space.queue(name).paused])
            try:
                await ear.wait(left if due is None else min(left, max(due, _TICK_SECONDS)))
            finally:
                with self._space.lock:
                    self._space.work.leave(queues, ear.wake)

    def _take(self, session: str, queues: Sequence[str], limit: int) -> list[Delivery]:
        received: list[Delivery] = []
        room = MAX_RECEIVED_BYTES
        for delivery in self._ready(session, queues):
            received.append(delivery)
            room -= len(delivery.envelope)
            if len(received) >= min(limit, MAX_RECEIVED) or room <= 0:
                break
        return received

    def _ready(self, session: str, queues: Sequence[str]) -> Iterator[Delivery]:
        """Lease one ready job after the other, as long as the caller asks for more."""
        now, number = self._clock(), self._next_number(session)
        self._flows.send_opened(now)
        for name in self._in_turn(session, queues):
            queue = self._space.queue(name)
            holder = queue.sessions[session]
            if number <= holder.number:  # overtaken: this receive was given up, and a reconcile said so
                continue
            holder.number = number
            if queue.paused:
                continue
            queue.promote(now, MAX_MOVED)
            queue.release(now, MAX_MOVED)
            for level, ready in enumerate(queue.ready):
                while ready:
                    job_id = ready.popleft()
                    entry = queue.jobs[job_id]
                    holder.held[job_id] = number
                    yield Delivery(job_id, name, level, number, entry.envelope, entry.counts, entry.returned)

    def _in_turn(self, session: str, queues: Sequence[str]) -> list[str]:
        """The queues in which the session lives, another one first each time, so that a busy one starves no other."""
        alive = [name for name in queues if self._space.queue(name).alive(session)]
        if not alive:
            raise SessionDead(session)
        self._turn += 1
        start = self._turn % len(alive)
        return alive[start:] + alive[:start]

    def _next_number(self, session: str) -> int:
        number = self._numbers[session] = self._numbers.get(session, 0) + 1
        return number

    def _next_due(self, queues: Sequence[str]) -> float | None:
        times = [due for name in queues if (due := self._space.queue(name).next_due()) is not None]
        return max(min(times) - self._clock(), 0.0) if times else None

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return what the child does not list; see `Broker.reconcile`."""
        listed = {(delivery.queue, delivery.id, delivery.number) for delivery in held}
        returned = 0
        with self._space.lock:
            number = self._next_number(session)
            for name in self._in_turn(session, queues):
                queue = self._space.queue(name)
                holder = queue.sessions[session]
                holder.number = max(holder.number, number)
                unlisted = [each for each, fence in holder.held.items() if (name, each, fence) not in listed]
                for job_id in unlisted:
                    queue.jobs[job_id].charge()
                    del holder.held[job_id]
                queue.front(unlisted)
                self._space.work.ring(name)
                returned += len(unlisted)
        return returned

    # --- settling

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out verdicts; see `Broker.settle`."""
        with self._space.lock:
            return self._settle_all(session, settlements, self._clock())

    def _settle_all(self, session: str, settlements: Sequence[Settlement], now: float) -> list[bool]:
        ours = [self._settle(session, settlement, now) for settlement in settlements]
        pairs = zip(settlements, ours, strict=True)
        released = [each.delivery for each, our in pairs if our and each.kind == "release"]
        for delivery in reversed(released):  # together, so that they return in the order they had
            self._space.queue(delivery.queue).front([delivery.id])
            self._space.work.ring(delivery.queue)
        return ours

    def _settle(self, session: str, settlement: Settlement, now: float) -> bool:
        delivery = settlement.delivery
        queue = self._space.queue(delivery.queue)
        if not queue.holds(session, delivery.id, delivery.number):
            return False
        if settlement.kind in ("end", "dead"):
            self._space.keep(delivery.id, settlement.record, settlement.ttl, now)
        for job in settlement.follow_ups:
            self._put(job, now)
        self._flows.settled(settlement, now)
        self._move(queue, settlement, now)
        del queue.sessions[session].held[delivery.id]
        return True

    def _move(self, queue: Queue, settlement: Settlement, now: float) -> None:
        job_id = settlement.delivery.id
        entry = queue.jobs[job_id]
        entry.charge()
        entry.returned = True
        if settlement.kind != "release":
            queue.limits.leave(job_id)
        match settlement.kind:
            case "end":
                del queue.jobs[job_id]
            case "dead":
                queue.dead[job_id] = now
            case "retry":
                entry.recount(settlement.counts or entry.counts)
                entry.envelope = settlement.envelope or entry.envelope
                queue.place(job_id, entry.level, now if entry.counts.doom else now + settlement.delay, now)
                self._space.work.ring(settlement.delivery.queue)
            case "park" if entry.counts.doom:
                queue.place(job_id, entry.level, now, now)  # it needs no worker that has its task
                self._space.work.ring(settlement.delivery.queue)
            case "park":
                queue.parked.setdefault(settlement.task, []).append(job_id)
            case "release":
                pass  # `settle` puts all released jobs of the batch to the front at once

    # --- recovery

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Make due jobs ready and return those of dead sessions; see `Broker.reclaim`."""
        now = self._clock()
        promoted = returned = 0
        with self._space.lock:
            self._flows.forget(now)
            promoted += self._flows.send_opened(now, MAX_MOVED)
            for name in queues:
                queue = self._space.queue(name)
                queue.contact(now, lease)
                promoted += queue.promote(now, MAX_MOVED - promoted - returned)
                promoted += queue.release(now, MAX_MOVED - promoted - returned)
                queue.limits.sweep(now, queue.lasts, MAX_MOVED)
                for each in ended:
                    returned += _end(queue, each, MAX_MOVED - promoted - returned)
                for session in queue.lapsed(now, lease):
                    returned += queue.declare_dead(session, MAX_MOVED - promoted - returned, _lost)
                if promoted + returned:
                    self._space.work.ring(name)
            deadlines = [at for name in queues if (at := self._space.queue(name).next_deadline()) is not None]
            next_deadline = max(min(deadlines) - now, 0.0) if deadlines else None
            return Reclaimed(promoted, returned, self._next_due(queues), next_deadline)

    async def age(self, queues: Sequence[str], seconds: float) -> int:
        """Let jobs that nobody takes rise; see `Ager.age`."""
        now = self._clock()
        with self._space.lock:
            return sum(self._space.queue(name).age(now, seconds) for name in queues)

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make parked jobs ready again; see `Broker.unpark`."""
        moved = 0
        with self._space.lock:
            for name in queues:
                queue = self._space.queue(name)
                moved += sum(queue.unpark(task) for task in tasks)
                self._space.work.ring(name)
        return moved

    # --- inspection

    async def queues(self) -> list[str]:
        """Names of all queues; see `Inspector.queues`."""
        with self._space.lock:
            return sorted(self._space.queues)

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Numbers of jobs; see `Inspector.counts`."""
        with self._space.lock:
            return [_count(name, self._space.glance(name), self._clock()) for name in queues]

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """Open sessions; see `Inspector.sessions`."""
        now = self._clock()
        found: dict[str, SessionInfo] = {}
        with self._space.lock:
            for queue in map(self._space.glance, queues):
                for session, holder in queue.sessions.items():
                    held = (*found[session].held, *holder.held) if session in found else tuple(holder.held)
                    if holder.alive:
                        found[session] = SessionInfo(session, holder.info, holder.deadline - now, held)
        return list(found.values())

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; see `Inspector.locate`."""
        with self._space.lock:
            for name in self._space.queues if queue is None else (queue,):
                found = self._space.glance(name)
                entry = found.jobs.get(job_id)
                if entry is not None:
                    place = found.places([job_id])[job_id]
                    return Location(place, name, entry.counts.retries, entry.counts.doom, entry.note)
            ended = self._space.record(job_id, self._clock()) is not None
        return Location("ended", queue or "") if ended else Location("unknown")

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; see `Inspector.locate`."""
        return self.locate(job_id, queue)


def _end(queue: Queue, ended: Ended, limit: int) -> int:
    if ended.session not in queue.sessions:
        return 0
    held = queue.sessions[ended.session].held
    for job_id, doom in ended.doomed:
        if job_id in held:
            queue.jobs[job_id].doom(doom)
    started = frozenset(ended.started) - {job_id for job_id, _ in ended.doomed}
    return queue.declare_dead(ended.session, limit, lambda job_id, _: Counts(crashes=1) if job_id in started else FIRST)


def _lost(_: str, entry: Entry) -> Counts:
    # Nobody knows what had started, but a marked job ran alone: it is the one.
    return Counts(crashes=1) if entry.counts.marked else Counts(losses=1)


def _count(name: str, queue: Queue, now: float) -> QueueCounts:
    due = sorted(each for each in queue.delayed if each[0] <= now)
    first = (*(ready[0] for ready in queue.ready if ready), *(job_id for *_, job_id in due))
    return QueueCounts(
        queue=name,
        ready=sum(map(len, queue.ready)) + len(due),
        delayed=len(queue.delayed) - len(due),
        running=sum(len(holder.held) for holder in queue.sessions.values()),
        parked=sum(map(len, queue.parked.values())),
        dead=len(queue.dead),
        held=len(queue.limits.held),
        oldest=queue.jobs[first[0]].envelope if first else None,
    )
