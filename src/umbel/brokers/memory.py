"""The broker contract in the plainest code, in the memory of this process: for tests, and the model of all others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead, Settlement
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines.memory import Ear, Entry, Queue, Session, Space, space
from umbel.model.job import FIRST, MAX_PRIORITY, Counts, Delivery, Job
from umbel.settings import Settings

MAX_RECEIVED: Final = 256
MAX_RECEIVED_BYTES: Final = 1024 * 1024
MAX_MOVED: Final = 200


def connect(url: str, settings: Settings) -> MemoryBroker:  # noqa: ARG001 - the shape of every broker's factory
    """The broker over the space that *url* names. Raises `ImproperlyConfigured`."""
    return MemoryBroker(space(url))


class MemoryBroker:
    """A broker over a `Space`: shared between the threads and event loops of this process, gone with it.

    *clock* answers unix seconds. Two brokers over one space are two clients: each counts its receives by itself.
    """

    def __init__(self, space: Space, clock: Callable[[], float] | None = None) -> None:
        self._space = space
        self._clock = clock or time.time
        self._numbers: dict[str, int] = {}
        self._turn = 0

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
        queue.jobs[job_id] = Entry(level, job.envelope)
        queue.place(job_id, level, now + job.delay if job.eta is None else job.eta, now)
        if job.queue in space.work.waiting:
            space.work.ring(job.queue)

    # --- sessions

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open sessions; see `Broker.heartbeat`."""
        now = self._clock()
        with self._space.lock:
            found = [self._space.queue(name) for name in queues]
            for queue in found:
                _note_contact(queue, now, lease)
            beat = _open if opening else _renew
            answers = [[beat(queue, each, now + lease) for queue in found] for each in beats]
        return [all(each) for each in answers]

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note that a quarantined delivery is about to start; see `Broker.mark`."""
        with self._space.lock:
            queue = self._space.queue(delivery.queue)
            if not _holds(queue, session, delivery):
                return False
            entry = queue.jobs[delivery.id]
            entry.counts = _counts(entry, marked=True)
            return True

    # --- receiving

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease ready jobs to *session*; see `Broker.receive`."""
        deadline = time.monotonic() + wait
        while True:
            ear = Ear()
            with self._space.lock:
                received = self._take(session, queues, limit)
                left = deadline - time.monotonic()
                if received or left <= 0:
                    return received
                self._space.work.join(queues, ear.wake)  # before the lock is free: a send from now on rings
                due = _next_due([self._space.queue(name) for name in queues], self._clock())
            try:
                await ear.wait(left if due is None else min(left, max(due, 0.001)))
            finally:
                with self._space.lock:
                    self._space.work.leave(queues, ear.wake)

    def _take(self, session: str, queues: Sequence[str], limit: int) -> list[Delivery]:
        now, number = self._clock(), self._next_number(session)
        received: list[Delivery] = []
        room = MAX_RECEIVED_BYTES
        for name in self._in_turn(session, queues):
            for delivery in self._ready(name, session, number, now):
                received.append(delivery)
                room -= len(delivery.envelope)
                if len(received) >= min(limit, MAX_RECEIVED) or room <= 0:
                    return received
        return received

    def _in_turn(self, session: str, queues: Sequence[str]) -> list[str]:
        # Each receive starts with another queue, so that a busy one starves no other.
        alive = [name for name in queues if _alive(self._space.queue(name), session)]
        if not alive:
            raise SessionDead(session)
        self._turn += 1
        start = self._turn % len(alive)
        return alive[start:] + alive[:start]

    def _ready(self, name: str, session: str, number: int, now: float) -> Iterator[Delivery]:
        queue = self._space.queue(name)
        holder = queue.sessions[session]
        if number <= holder.number:  # overtaken: this receive was given up by a reconcile
            return
        holder.number = number
        queue.promote(now, MAX_MOVED)
        for level, ready in enumerate(queue.ready):
            while ready:
                job_id = ready.popleft()
                entry = queue.jobs[job_id]
                holder.held[job_id] = number
                yield Delivery(job_id, name, level, number, entry.envelope, entry.counts, entry.returned)

    def _next_number(self, session: str) -> int:
        number = self._numbers[session] = self._numbers.get(session, 0) + 1
        return number

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return what the child does not list; see `Broker.reconcile`."""
        listed = {(delivery.queue, delivery.id, delivery.number) for delivery in held}
        with self._space.lock:
            number, returned = self._next_number(session), 0
            for name in self._in_turn(session, queues):
                holder = self._space.queue(name).sessions[session]
                if number <= holder.number:
                    continue
                holder.number = number
                unknown = [each for each, fence in holder.held.items() if (name, each, fence) not in listed]
                self._give_back(name, holder, unknown)
                returned += len(unknown)
            return returned

    def _give_back(self, name: str, holder: Session, job_ids: Sequence[str]) -> None:
        queue = self._space.queue(name)
        for job_id in reversed(job_ids):  # each goes to the front: the last one first
            del holder.held[job_id]
            queue.front(job_id)
        if job_ids:
            self._space.work.ring(name)

    # --- settling

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out verdicts; see `Broker.settle`."""
        now = self._clock()
        with self._space.lock:
            ours = [self._settle(session, settlement, now) for settlement in settlements]
            released = [
                each.delivery for each, our in zip(settlements, ours, strict=True) if our and each.kind == "release"
            ]
            for delivery in reversed(released):  # back to the front in the order they had
                self._space.queue(delivery.queue).front(delivery.id)
                self._space.work.ring(delivery.queue)
            return ours

    def _settle(self, session: str, settlement: Settlement, now: float) -> bool:
        delivery = settlement.delivery
        queue = self._space.queue(delivery.queue)
        if not _holds(queue, session, delivery):
            return False
        if settlement.kind in ("end", "dead"):
            self._space.keep(delivery.id, settlement.record, settlement.ttl, now)
        for job in settlement.follow_ups:
            self._put(job, now)
        self._move(queue, settlement, now)
        del queue.sessions[session].held[delivery.id]
        return True

    def _move(self, queue: Queue, settlement: Settlement, now: float) -> None:
        job_id = settlement.delivery.id
        entry = queue.jobs[job_id]
        entry.counts = settlement.counts or _counts(entry, marked=False)
        entry.returned = True
        match settlement.kind:
            case "end":
                del queue.jobs[job_id]
            case "dead":
                queue.dead[job_id] = None
            case "retry":
                entry.envelope = settlement.envelope or entry.envelope
                queue.place(job_id, entry.level, now + settlement.delay, now)
                self._space.work.ring(settlement.delivery.queue)
            case "park":
                queue.parked.setdefault(settlement.task, []).append(job_id)
            case "release":
                return  # `settle` puts the released jobs of a batch to the front together, in order

    # --- recovery

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Make due jobs ready and return those of dead sessions; see `Broker.reclaim`."""
        now = self._clock()
        promoted = returned = 0
        with self._space.lock:
            found = [self._space.queue(name) for name in queues]
            for name, queue in zip(queues, found, strict=True):
                _note_contact(queue, now, lease)
                gone = queue.promote(now, MAX_MOVED - promoted - returned)
                promoted += gone
                if gone:
                    self._space.work.ring(name)
                for each in ended:
                    returned += self._end(name, each, MAX_MOVED - promoted - returned)
                for session in _lapsed(queue, lease, now):
                    returned += self._lapse(name, session, MAX_MOVED - promoted - returned)
            return Reclaimed(promoted, returned, _next_due(found, now), _next_deadline(found, now))

    def _end(self, name: str, ended: Ended, limit: int) -> int:
        holder = self._space.queue(name).sessions.get(ended.session)
        if holder is None:
            return 0
        started = frozenset(ended.started)
        return self._bury(
            name, ended.session, limit, lambda job_id, _: Counts(crashes=1) if job_id in started else FIRST
        )

    def _lapse(self, name: str, session: str, limit: int) -> int:
        return self._bury(name, session, limit, lambda _, marked: Counts(crashes=1) if marked else Counts(losses=1))

    def _bury(self, name: str, session: str, limit: int, charge: Callable[[str, bool], Counts]) -> int:
        queue = self._space.queue(name)
        holder = queue.sessions[session]
        holder.alive = False
        moved = list(holder.held)[:limit]
        for job_id in moved:
            entry = queue.jobs[job_id]
            extra = charge(job_id, entry.counts.marked)
            entry.counts = _counts(entry, extra, marked=False)
        self._give_back(name, holder, moved)
        if not holder.held:
            del queue.sessions[session]
            queue.buried.add(session)
        return len(moved)

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make parked jobs ready again; see `Broker.unpark`."""
        moved = 0
        with self._space.lock:
            for name in queues:
                queue = self._space.queue(name)
                for job_id in [each for task in tasks for each in queue.parked.pop(task, ())]:
                    queue.ready[queue.jobs[job_id].level].append(job_id)
                    self._space.work.ring(name)
                    moved += 1
        return moved

    # --- inspection

    async def queues(self) -> list[str]:
        """Names of all queues; see `Inspector.queues`."""
        with self._space.lock:
            return sorted(self._space.queues)

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Numbers of jobs; see `Inspector.counts`."""
        with self._space.lock:
            return [_count(name, self._space.queue(name)) for name in queues]

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """Open sessions; see `Inspector.sessions`."""
        now = self._clock()
        found: dict[str, SessionInfo] = {}
        with self._space.lock:
            for queue in map(self._space.queue, queues):
                for name, holder in queue.sessions.items():
                    if holder.alive:
                        held = (*found[name].held, *holder.held) if name in found else tuple(holder.held)
                        found[name] = SessionInfo(name, holder.info, holder.deadline - now, held)
        return list(found.values())

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; see `Inspector.locate`."""
        with self._space.lock:
            for name in self._space.queues if queue is None else (queue,):
                found = self._space.queue(name)
                if job_id in found.jobs:
                    return _locate(name, found, job_id)
            return Location("unknown" if self._space.record(job_id, self._clock()) is None else "ended", queue or "")

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; see `Inspector.locate`."""
        return self.locate(job_id, queue)


# --- rules about one queue


def _note_contact(queue: Queue, now: float, lease: float) -> None:
    # After an outage or a jump of the clock nobody lapses for half a lease: the living must be able to beat first.
    if queue.seen is not None and abs(now - queue.seen) > lease / 2:
        queue.hold = now + lease / 2
    queue.seen = now


def _open(queue: Queue, beat: Beat, deadline: float) -> bool:
    if beat.session in queue.sessions or beat.session in queue.buried:
        return False
    queue.sessions[beat.session] = Session(deadline, beat.info)
    return True


def _renew(queue: Queue, beat: Beat, deadline: float) -> bool:
    if not _alive(queue, beat.session):
        return False
    holder = queue.sessions[beat.session]
    holder.deadline, holder.info = deadline, beat.info
    return True


def _alive(queue: Queue, session: str) -> bool:
    holder = queue.sessions.get(session)
    return holder is not None and holder.alive


def _lapsed(queue: Queue, lease: float, now: float) -> list[str]:
    for holder in queue.sessions.values():
        if holder.deadline > now + 2 * lease:  # the clock was set back
            holder.deadline = now + lease
    return [
        session
        for session, holder in queue.sessions.items()
        if not holder.alive or (holder.deadline <= now and queue.hold <= now)
    ]


def _holds(queue: Queue, session: str, delivery: Delivery) -> bool:
    """The fence: the session lives and holds the job under exactly the number of this delivery."""
    return _alive(queue, session) and queue.sessions[session].held.get(delivery.id) == delivery.number


def _counts(entry: Entry, extra: Counts = FIRST, *, marked: bool) -> Counts:
    old = entry.counts
    return Counts(old.retries + extra.retries, old.crashes + extra.crashes, old.losses + extra.losses, marked)


def _next_due(queues: Sequence[Queue], now: float) -> float | None:
    return min((max(queue.delayed[0][0] - now, 0.0) for queue in queues if queue.delayed), default=None)


def _next_deadline(queues: Sequence[Queue], now: float) -> float | None:
    # A dead session that is still here has jobs left to move: at once.
    return min(
        (
            max(each.deadline, queue.hold, now) - now if each.alive else 0.0
            for queue in queues
            for each in queue.sessions.values()
        ),
        default=None,
    )


def _count(name: str, queue: Queue) -> QueueCounts:
    oldest = next((queue.jobs[ready[0]].envelope for ready in queue.ready if ready), None)
    return QueueCounts(
        queue=name,
        ready=sum(map(len, queue.ready)),
        delayed=len(queue.delayed),
        running=sum(len(holder.held) for holder in queue.sessions.values()),
        parked=sum(map(len, queue.parked.values())),
        dead=len(queue.dead),
        oldest=oldest,
    )


def _locate(name: str, queue: Queue, job_id: str) -> Location:
    retries = queue.jobs[job_id].counts.retries
    if job_id in queue.dead:
        return Location("dead", name, retries)
    if any(job_id in holder.held for holder in queue.sessions.values()):
        return Location("running", name, retries)
    if any(job_id in jobs for jobs in queue.parked.values()):
        return Location("parked", name, retries)
    delayed = any(job_id == each for _, _, each in queue.delayed)
    return Location("delayed" if delayed else "ready", name, retries)
