"""`SqliteBroker`: the verbs of the contract on one file. What they do is in `operations` and `sessions`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakSet

from umbel.brokers.sqlite import ageing, gates, inspector, nodes, operations, sessions
from umbel.brokers.sqlite.event_log import SqliteEventLog
from umbel.brokers.sqlite.flows import SqliteFlows
from umbel.brokers.sqlite.jobs import SqliteJobs
from umbel.brokers.sqlite.limits import SqliteLimits
from umbel.brokers.sqlite.mailbox import SqliteMailbox
from umbel.brokers.sqlite.operations import Received
from umbel.brokers.sqlite.schedules import SqliteSchedules
from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead, Settlement
from umbel.contracts.capabilities import SQLITE
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines import sqlite_health
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_bells import WORK, Bell, Bells
from umbel.engines.sqlite_file import Connection, File
from umbel.engines.sqlite_lease import Clock, Lifeline
from umbel.model.finding import Finding
from umbel.model.job import Delivery, Job
from umbel.settings import Settings

CLEANING_SECONDS: Final = 1.0
"""How long one reclaim may go on deleting expired records, and how often it does."""
TIDYING_SECONDS: Final = 60.0
POLLING_SECONDS: Final = 0.05
"""How often a child looks into the file where sockets do not work."""


def connect(url: str, settings: Settings) -> SqliteBroker:
    """The broker in the file that *url* names; opens nothing yet. Raises `ImproperlyConfigured`."""
    return SqliteBroker(File(url, "broker_url", settings.broker_send_deadline))


class SqliteBroker:
    """A broker in one file, shared by all processes of one host.

    *clock* answers unix seconds; it then stands for the wall clock and for the clock of leases.
    """

    powers: Final = SQLITE

    def __init__(self, file: File, clock: Callable[[], float] | None = None) -> None:
        self._engine = SqliteEngine(file)
        self._clock = Clock(clock)
        self._bells = Bells(file.folder)
        self._lifeline = Lifeline(file.folder)
        self._holders: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._known: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._turn = 0
        self._cleaned = 0.0
        self._tidied = 0.0
        self._swept = gates.Swept()
        self._flows = SqliteFlows(self._engine, self._clock, self._ring)

    @property
    def flow_store(self) -> SqliteFlows:
        """The verbs of flows on this engine."""
        return self._flows

    @property
    def schedule_store(self) -> SqliteSchedules:
        """The verbs of schedules on this engine."""
        return SqliteSchedules(self._engine, self._clock, self._ring)

    @property
    def job_store(self) -> SqliteJobs:
        """The verbs of single jobs on this engine."""
        return SqliteJobs(self._engine, self._clock, self._terms, self._ring, self._announce)

    @property
    def mailbox(self) -> SqliteMailbox:
        """The verbs of boxes on this engine."""
        return SqliteMailbox(self._engine, self._clock, self._bells)

    @property
    def event_log(self) -> SqliteEventLog:
        """The verbs of the log of events on this engine."""
        return SqliteEventLog(self._engine)

    @property
    def limit_store(self) -> SqliteLimits:
        """The verbs of limits on this engine."""
        return SqliteLimits(self._engine, self._clock, self._ring)

    # --- the producer's half

    def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*; see `Sender.send`."""
        fresh = self._fresh(jobs)
        self._engine.call(self._sending(jobs, fresh), durable=Durability.ANSWERED, after=self._ring)
        self._known |= fresh

    async def asend(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*; see `Sender.send`."""
        fresh = self._fresh(jobs)
        await self._engine.submit(self._sending(jobs, fresh), durable=Durability.ANSWERED, after=self._ring)
        self._known |= fresh

    def close(self) -> None:
        """Close the file in this process. Sessions that it opened count as dead; the next use opens the file again."""
        self._holders.clear()
        self._engine.close()
        self._bells.close()
        self._lifeline.release()

    async def aclose(self) -> None:
        """Give back what this event loop has. One connection serves all of the process, so the last loop closes it.

        Loops that opened no session do not count: what they need is opened again, but a session would be dead.
        """
        self._holders.discard(asyncio.get_running_loop())
        if all(loop.is_closed() for loop in self._holders):
            self.close()

    def _fresh(self, jobs: Sequence[Job]) -> set[str]:
        return {job.queue for job in jobs} - self._known

    def _sending(self, jobs: Sequence[Job], fresh: set[str]) -> Callable[[Connection], Counter[str]]:
        def step(connection: Connection) -> Counter[str]:
            if fresh:
                operations.name_queues(connection, fresh)
            return operations.send(connection, self._clock, jobs)

        return step

    def _ring(self, rung: Counter[str]) -> None:
        # After the commit: whoever is woken finds the job.
        if rung:
            self._bells.ring(rung)

    # --- sessions

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open sessions; see `Broker.heartbeat`."""
        if opening:
            self._holders.add(asyncio.get_running_loop())
        beat = sessions.open_sessions if opening else sessions.renew
        return await self._engine.submit(
            lambda connection: beat(connection, self._terms(lease), beats, queues), durable=Durability.NONE
        )

    def _terms(self, lease: float) -> sessions.Terms:
        return sessions.Terms(self._clock.lease(), round(lease * 1000), self._lifeline)

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note that a quarantined delivery is about to start; see `Broker.mark`."""
        return await self._engine.submit(
            lambda connection: operations.mark(connection, session, delivery), durable=Durability.ANSWERED
        )

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Make due jobs ready and return those of dead sessions; see `Broker.reclaim`."""
        moved = await self._engine.submit(
            lambda connection: self._reclaim(connection, lease, queues, ended),
            durable=Durability.NONE,
            after=lambda moved: self._ring(moved.rung),
        )
        await self._clean(queues)
        return Reclaimed(moved.promoted, moved.returned, _first(moved.dues), _first(moved.deadlines))

    def _reclaim(
        self, connection: Connection, lease: float, queues: Sequence[str], ended: Sequence[Ended]
    ) -> sessions.Moved:
        moved = sessions.reclaim(connection, self._terms(lease), self._clock.wall(), queues, ended)
        sent, rung = nodes.send_opened(connection, self._clock, sessions.MAX_MOVED - moved.promoted - moved.returned)
        moved.promoted += sent
        moved.rung += rung
        return moved

    async def age(self, queues: Sequence[str], seconds: float) -> int:
        """Let jobs that nobody takes rise; see `Ager.age`."""
        milliseconds = round(seconds * 1000)
        return await self._engine.submit(
            lambda connection: ageing.age(connection, self._clock.wall(), queues, milliseconds), durable=Durability.NONE
        )

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make parked jobs ready again; see `Broker.unpark`."""
        moved = await self._engine.submit(
            lambda connection: sessions.unpark(connection, queues, tasks), after=self._ring
        )
        return moved.total()

    async def _clean(self, queues: Sequence[str]) -> None:
        started = time.monotonic()
        if started - self._cleaned < CLEANING_SECONDS:
            return
        self._cleaned = started
        while time.monotonic() - started < CLEANING_SECONDS:
            expired = await self._engine.submit(
                lambda connection: sessions.expire(connection, self._clock), durable=Durability.NONE
            )
            forgotten = await self._engine.submit(
                lambda connection: nodes.forget(connection, self._clock, sessions.MAX_EXPIRED), durable=Durability.NONE
            )
            if max(expired, forgotten) < sessions.MAX_EXPIRED:
                break
        self._swept = await self._engine.submit(
            lambda connection: gates.sweep(connection, self._clock.wall(), self._swept, sessions.MAX_EXPIRED),
            durable=Durability.NONE,
        )
        if started - self._tidied > TIDYING_SECONDS:
            self._tidied = started
            needed = await self._engine.submit(
                lambda connection: sessions.tidy(connection, self._clock, queues), durable=Durability.NONE
            )
            self._lifeline.sweep(needed)

    # --- deliveries

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease ready jobs to *session*; see `Broker.receive`."""
        found = await self._take(session, queues, limit)
        if found.deliveries or wait <= 0:
            return found.deliveries
        bell = self._bells.make(WORK, queues)
        if bell is None:
            return await self._poll(session, queues, limit, wait)
        with bell:
            try:
                return await self._wait(bell, session, queues, limit, wait)
            except asyncio.CancelledError:
                if bell.read() is not None:  # woken for nothing: wake somebody else
                    self._bells.ring(dict.fromkeys(queues, 1))
                raise

    async def _wait(self, bell: Bell, session: str, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        # Look once more: a job that was sent before the bell was up rang nobody.
        found = await self._take(session, queues, limit)
        if found.deliveries:
            return found.deliveries
        await bell.heard(self._patience(found, wait))
        bell.hide()  # before the last look: whoever rang until now has committed, and nobody rings in vain afterwards
        return (await self._take(session, queues, limit)).deliveries

    async def _poll(self, session: str, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        end = time.monotonic() + wait
        while True:
            found = await self._take(session, queues, limit)
            left = end - time.monotonic()
            if found.deliveries or left <= 0:
                return found.deliveries
            await asyncio.sleep(min(left, POLLING_SECONDS))

    def _patience(self, found: Received, wait: float) -> float:
        if found.next_due is None:
            return wait
        return min(wait, max(0, found.next_due - self._clock.wall() + 1) / 1000)

    async def _take(self, session: str, queues: Sequence[str], limit: int) -> Received:
        self._turn += 1  # each receive starts with another queue, so that a busy one starves no other
        start = self._turn % len(queues)
        order = [*queues[start:], *queues[:start]]
        number = self._next_number(session)
        future = self._engine.submit(
            lambda connection: nodes.receive(connection, self._clock, (session, number), order, limit),
            durable=Durability.NONE,
            after=self._pass_on,
        )
        try:
            found = await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: self._give_back(session, done))
            raise
        if found.dead:
            raise SessionDead(session)
        return found

    def _next_number(self, session: str) -> int:
        number = self._numbers[session] = self._numbers.get(session, 0) + 1
        return number

    def _pass_on(self, found: Received) -> None:
        rung = found.rung
        if found.left:
            rung = rung | Counter({found.left: 1})
        self._ring(rung)

    def _give_back(self, session: str, done: asyncio.Future[Received]) -> None:
        """Release what a cancelled receive was handed."""
        found = None if done.cancelled() or done.exception() is not None else done.result()
        if found is None or not found.deliveries:
            return
        releases = [Settlement(each, "release") for each in found.deliveries]
        self._engine.submit(
            lambda connection: operations.settle(connection, self._clock, session, releases),
            durable=Durability.NONE,
            after=lambda settled: self._ring(settled.rung),
        )

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out verdicts; see `Broker.settle`."""
        settled = await self._engine.submit(
            lambda connection: nodes.settle(connection, self._clock, session, settlements), after=self._announce
        )
        return settled.ours

    def _announce(self, settled: operations.Settled) -> None:
        self._ring(settled.rung)
        if settled.ended:
            self._bells.tell(settled.ended)

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return what the child does not list; see `Broker.reconcile`."""
        number = self._next_number(session)
        returned = await self._engine.submit(
            lambda connection: sessions.reconcile(connection, (session, number), queues, held),
            durable=Durability.NONE,
            after=lambda returned: self._ring(returned or Counter()),
        )
        if returned is None:
            raise SessionDead(session)
        return returned.total()

    # --- inspection

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the file and its disk; *thorough* checks every page. See `Examiner`."""
        return await sqlite_health.examine(self._engine, thorough=thorough)

    async def queues(self) -> list[str]:
        """Names of all queues; see `Inspector.queues`."""
        return await self._engine.submit_read(inspector.queues)

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Numbers of jobs; see `Inspector.counts`."""
        return await self._engine.submit_read(lambda connection: inspector.counts(connection, self._clock, queues))

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """Open sessions; see `Inspector.sessions`."""
        return await self._engine.submit_read(lambda connection: inspector.sessions(connection, self._clock, queues))

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; see `Inspector.locate`."""
        return self._engine.read(lambda connection: inspector.locate(connection, self._clock, job_id, queue))

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; see `Inspector.locate`."""
        return await self._engine.submit_read(
            lambda connection: inspector.locate(connection, self._clock, job_id, queue)
        )


def _first(milliseconds: Sequence[int]) -> float | None:
    return max(0, min(milliseconds)) / 1000 if milliseconds else None
