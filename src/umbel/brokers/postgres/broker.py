"""The broker contract on PostgreSQL. What each verb does: `operations`; how it travels: `umbel.engines.postgres`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Final, TypeVar

from umbel.brokers.postgres import ageing, inspector, limit_operations, operations
from umbel.brokers.postgres.event_log import PostgresEventLog
from umbel.brokers.postgres.floors import Floors
from umbel.brokers.postgres.flows import PostgresFlows
from umbel.brokers.postgres.jobs import PostgresJobs
from umbel.brokers.postgres.joined import Joined
from umbel.brokers.postgres.limit_operations import Rounds, Tended
from umbel.brokers.postgres.limits import PostgresLimits
from umbel.brokers.postgres.mailbox import PostgresMailbox
from umbel.brokers.postgres.operations import Received, Steps, Verbs
from umbel.brokers.postgres.schedules import PostgresSchedules
from umbel.contracts.broker import Beat, Ended, Reclaimed, Settlement
from umbel.contracts.capabilities import POSTGRES
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines import postgres_health
from umbel.engines.operation import adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_address import parse
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_commits import Commits
from umbel.engines.postgres_guest import arun_in, run_in
from umbel.engines.postgres_listener import Listener, Nap
from umbel.engines.postgres_topics import work
from umbel.model.finding import Finding
from umbel.model.job import Delivery, Job
from umbel.settings import Settings

T = TypeVar("T")

CLEANING_SECONDS: Final = 1.0
"""How long one reclaim may go on deleting expired records, and how often it does."""
TIDYING_SECONDS: Final = 60.0


def connect(url: str, settings: Settings) -> PostgresBroker:
    """The broker in the database that *url* names; opens nothing yet. Raises `ImproperlyConfigured`."""
    return PostgresBroker(url, settings)


class PostgresBroker:
    """`Broker` and all powers in one PostgreSQL database (>= 13), also behind pgbouncer.

    *clock* answers unix seconds and is for tests: it replaces the server's clock in every decision.
    """

    powers: Final = POSTGRES

    def __init__(self, url: str, settings: Settings, clock: Callable[[], float] | None = None) -> None:
        address = parse(url, settings.broker_connection_timeout)
        self._engine = Engine(address, settings.broker_send_deadline)
        self._verbs = Verbs(clock)
        self._bells = Bells(self._engine)
        self._commits = Commits(self._engine, self._bells)
        self._listener = Listener(address)
        self._joined = Joined(self._asend)
        self._known: set[str] = set()
        self._floors = Floors()
        self._rounds = Rounds()
        self._numbers: dict[str, Iterator[int]] = {}
        self._turn = count()
        self._cleaned = self._tidied = 0.0

    @property
    def schedule_store(self) -> PostgresSchedules:
        """The verbs of schedules on this engine."""
        return PostgresSchedules(self._engine, self._bells, self._verbs.now)

    @property
    def flow_store(self) -> PostgresFlows:
        """The verbs of flows on this engine."""
        return PostgresFlows(self._engine, self._bells, self._verbs.naming, self._verbs.now)

    @property
    def job_store(self) -> PostgresJobs:
        """The verbs of single jobs on this engine."""
        return PostgresJobs(self._engine, self._bells, self._verbs, self._floors)

    @property
    def limit_store(self) -> PostgresLimits:
        """The verbs of limits on this engine."""
        return PostgresLimits(self._engine, self._bells, self._verbs.now)

    @property
    def event_log(self) -> PostgresEventLog:
        """The verbs of the log of events on this engine."""
        return PostgresEventLog(self._engine, self._bells, self._listener)

    @property
    def mailbox(self) -> PostgresMailbox:
        """The verbs of boxes on this engine."""
        return PostgresMailbox(self._engine, self._bells, self._listener, self._verbs.now)

    # --- the producer's half

    def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs* in atomic steps of 500; raises as the contract says."""
        new = {job.queue for job in jobs} - self._known
        rung = drive(self._verbs.send(jobs, new), self._engine.call)
        self._known |= new
        self._bells.ring(rung)

    async def asend(self, jobs: Sequence[Job]) -> None:
        """The async twin of `send`. What other coroutines send meanwhile travels together."""
        await self._joined.send(jobs)

    async def _asend(self, jobs: Sequence[Job]) -> None:
        new = {job.queue for job in jobs} - self._known
        rung = await self._do(self._verbs.send(jobs, new))
        self._known |= new
        await self._bells.aring(rung)

    # --- in a transaction of the user's own

    def send_in(self, jobs: Sequence[Job], connection: object) -> None:
        """Accept *jobs* in the open transaction of *connection*; see `TransactionalSender`."""
        # Beside that transaction: were a new name written in it, whoever looks after the queue would wait for its end.
        self._engine.call(self._verbs.naming({job.queue for job in jobs} - self._known))
        self._known |= {job.queue for job in jobs}
        self._commits.ring_after(*drive(self._verbs.send_in(jobs), partial(run_in, connection)))

    async def asend_in(self, jobs: Sequence[Job], connection: object) -> None:
        """The async twin of `send_in`."""
        await self._engine.acall(self._verbs.naming({job.queue for job in jobs} - self._known))
        self._known |= {job.queue for job in jobs}
        self._commits.ring_after(*await adrive(self._verbs.send_in(jobs), partial(arun_in, connection)))

    def announce(self, jobs: Sequence[Job]) -> None:
        """Wake workers for *jobs*, which were committed by now."""
        self._bells.ring(Counter(job.queue for job in jobs))

    async def aannounce(self, jobs: Sequence[Job]) -> None:
        """The async twin of `announce`."""
        await self._bells.aring(Counter(job.queue for job in jobs))

    def settle_in(self, session: str, settlement: Settlement, connection: object) -> bool:
        """Carry out *settlement* in the open transaction of *connection*; see `TransactionalSettler`."""
        if new := self._unknown((settlement,)):
            self._engine.call(self._verbs.naming(new))
        return drive(self._verbs.complete(session, settlement), partial(run_in, connection))

    async def asettle_in(self, session: str, settlement: Settlement, connection: object) -> bool:
        """The async twin of `settle_in`."""
        if new := self._unknown((settlement,)):
            await self._engine.acall(self._verbs.naming(new))
        return await adrive(self._verbs.complete(session, settlement), partial(arun_in, connection))

    def confirm(self, session: str, settlement: Settlement) -> bool:
        """Whether it was committed; wakes whoever waits for it."""
        confirmed = drive(self._verbs.confirm(session, settlement), self._engine.call)
        self._bells.ring(confirmed.rung, confirmed.ended)
        return confirmed.ours[0]

    async def aconfirm(self, session: str, settlement: Settlement) -> bool:
        """The async twin of `confirm`."""
        confirmed = await self._do(self._verbs.confirm(session, settlement))
        self._bells.ring_later(confirmed.rung, confirmed.ended)
        return confirmed.ours[0]

    def close(self) -> None:
        """Give back all connections of this process."""
        self._commits.close()
        self._listener.close()
        self._engine.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        await self._bells.flush()
        await self._engine.aclose()

    # --- sessions

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open the sessions of *beats* in one transaction."""
        return await self._do(self._verbs.heartbeat(beats, queues, lease, opening=opening))

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note durably that *delivery* is about to start alone."""
        return await self._do(self._verbs.mark(session, delivery))

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Wake for due jobs, return those of ended and lapsed sessions; at most 200 jobs a call."""
        moved = await self._do(self._verbs.reclaim(queues, lease, ended))
        self._floors.reset()
        self._bells.ring_later(Counter(dict.fromkeys(moved.ready, max(1, moved.promoted + moved.returned))))
        tended = await self._tended(queues) if moved.limited else Tended(0, Counter())
        await self._clean(queues)
        next_due = min((due for due in (moved.next_due, tended.next_due) if due is not None), default=None)
        return Reclaimed(moved.promoted + tended.released, moved.returned, next_due, moved.next_deadline)

    async def age(self, queues: Sequence[str], seconds: float) -> int:
        """Let jobs that nobody takes rise; see `Ager.age`."""
        raised = await self._do(ageing.age(queues, seconds, self._verbs.now()))
        self._bells.ring_later(raised)  # whoever looked in between passed them by, and may sleep now
        return raised.total()

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make ready what is parked under the names *tasks*."""
        moved = await self._do(self._verbs.unpark(queues, tasks))
        self._floors.reset()
        self._bells.ring_later(moved)
        return moved.total()

    async def _tended(self, queues: Sequence[str]) -> Tended:
        """Look after the limits of *queues*: places of jobs that are over, and what has fallen due."""
        swept = await self._do(limit_operations.sweep(self._rounds, self._verbs.now()))
        due = await self._do(limit_operations.tend(queues, self._verbs.now()))
        self._bells.ring_later(swept.rung + due.rung)
        return Tended(swept.released + due.released, due.rung, due.next_due)

    async def _clean(self, queues: Sequence[str]) -> None:
        started = time.monotonic()
        if started - self._cleaned < CLEANING_SECONDS:
            return
        self._cleaned = started
        while time.monotonic() - started < CLEANING_SECONDS:
            if await self._do(self._verbs.clean()) < operations.MAX_EXPIRED:
                break
        await self._do(limit_operations.clean(self._rounds, self._verbs.now()))
        if started - self._tidied > TIDYING_SECONDS:
            self._tidied = started
            await self._do(self._verbs.tidy(queues))

    # --- deliveries

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease ready jobs. Without an answer it raises `BrokerUnavailable`: call `reconcile` then."""
        end = time.monotonic() + wait
        if wait <= 0:
            self._floors.reset()  # who does not wait wants to know
        found = await self._take(session, queues, limit)
        if found.deliveries or wait <= 0:
            return found.deliveries
        nap = Nap()
        with self._listener.expecting([work(queue) for queue in queues], nap.wake):
            while not found.deliveries and (left := end - time.monotonic()) > 0:
                hints = (found.next_due, self._floors.due_in())
                await nap.sleep(min([left, *(hint for hint in hints if hint is not None)]))
                found = await self._take(session, queues, limit)
        return found.deliveries

    async def _take(self, session: str, queues: Sequence[str], limit: int) -> Received:
        steps = self._verbs.receive(session, self._number(session), self._rotated(queues), limit, self._floors)
        taking = asyncio.ensure_future(self._do(steps))
        try:
            found = await asyncio.shield(taking)
        except asyncio.CancelledError:
            taking.add_done_callback(lambda done: self._give_back(session, done))
            raise
        if not found.deliveries and found.next_due == 0:
            self._floors.reset()
        if found.held:
            tended = await self._do(limit_operations.tend(queues, self._verbs.now()))
            self._bells.ring_later(tended.rung)
            if tended.released and not found.deliveries:
                return await self._take(session, queues, limit)
        self._bells.ring_later(found.sent)
        if found.sent and not found.deliveries:
            return await self._take(session, queues, limit)
        if found.deliveries and (found.next_due is not None or len(found.deliveries) >= limit):
            # Something is left, or somebody has to know when it will be due: whoever is idle looks.
            self._bells.ring_soon(Counter(dict.fromkeys(queues, 1)))
        return found

    def _give_back(self, session: str, done: asyncio.Future[Received]) -> None:
        """Release what a cancelled receive was handed."""
        found = None if done.cancelled() or done.exception() is not None else done.result()
        if found is not None and found.deliveries:
            self._bells.spawn(self.settle(session, [Settlement(each, "release") for each in found.deliveries]))

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out *settlements*, in atomic steps of 512; a dead session answers False for each."""
        new = self._unknown(settlements)
        settled = await self._do(self._verbs.settle(session, settlements, new))
        self._known |= new
        if settled.rung and any(each.kind == "release" for each in settlements):
            self._floors.reset()
        self._bells.ring_later(settled.rung, settled.ended)
        return settled.ours

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return to ready what the broker holds for *session* beyond *held*."""
        returned = await self._do(self._verbs.reconcile(session, self._number(session), queues, held))
        self._floors.reset()
        self._bells.ring_later(returned)
        return returned.total()

    # --- inspection

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the server and our tables; see `Examiner`."""
        del thorough
        return await postgres_health.examine(self._engine)

    async def queues(self) -> list[str]:
        """The names of all queues ever used, sorted."""
        return await self._do(inspector.queues())

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Exact numbers for each of *queues*."""
        return await self._do(inspector.counts(queues, self._verbs.now()))

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """The open sessions of *queues*."""
        return await self._do(inspector.sessions(queues, self._verbs.now()))

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Find one job; *queue* None looks in every queue."""
        return drive(inspector.locate(job_id, queue, self._verbs.now()), self._engine.call)

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        return await self._do(inspector.locate(job_id, queue, self._verbs.now()))

    def _unknown(self, settlements: Sequence[Settlement]) -> set[str]:
        """The queues of their follow-ups that may not be named yet."""
        return {job.queue for each in settlements for job in each.follow_ups} - self._known

    async def _do(self, steps: Steps[T]) -> T:
        return await adrive(steps, self._engine.acall)

    def _number(self, session: str) -> int:
        """The next receive number of *session*: counted here, so that a server that lost a second repeats none."""
        numbers = self._numbers.get(session)
        if numbers is None:
            numbers = self._numbers[session] = count(1)
        return next(numbers)

    def _rotated(self, queues: Sequence[str]) -> Sequence[str]:
        """*queues*, each first in its turn, so that a full one starves none."""
        first = next(self._turn) % len(queues)
        return [*queues[first:], *queues[:first]]
