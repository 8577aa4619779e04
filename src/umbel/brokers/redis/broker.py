"""The broker contract on Redis. What each verb does is in `operations`, how it travels in `umbel.engines.redis`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from typing import Final, TypeVar

from umbel.brokers.redis import inspector, operations
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.flows import RedisFlows
from umbel.brokers.redis.jobs import RedisJobs
from umbel.brokers.redis.limits import RedisLimits
from umbel.brokers.redis.operations import Steps, named
from umbel.brokers.redis.schedules import RedisSchedules
from umbel.brokers.redis.window import Acknowledged
from umbel.contracts.broker import Beat, Ended, Reclaimed, Settlement
from umbel.contracts.capabilities import REDIS
from umbel.contracts.event_log import Kept
from umbel.contracts.mailbox import MAX_HEARD, Letter
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines import redis_health
from umbel.engines.operation import adrive, drive
from umbel.engines.patience import ONE_TRY
from umbel.engines.redis_address import parse
from umbel.engines.redis_boxes import RedisBoxes
from umbel.engines.redis_layout import EVENTS, events
from umbel.engines.redis_log import RedisLog
from umbel.engines.redis_opening import opened
from umbel.exceptions import UmbelError
from umbel.model.finding import Finding
from umbel.model.job import Delivery, Job
from umbel.settings import Settings

T = TypeVar("T")

LAST_SECONDS: Final = 1.0
"""How long, at the end, others may take to be woken."""


class RedisBroker:
    """`Broker`, `Inspector` and `Examiner` on one database of a Redis server (>= 6.2), or on a Cluster.

    *clock* answers unix seconds and is for tests: it replaces the server's clock in every decision.
    """

    powers: Final = REDIS

    def __init__(self, url: str, settings: Settings, clock: Callable[[], float] | None = None) -> None:
        one_try = ONE_TRY * settings.broker_send_deadline
        address = parse(url, timeout=one_try, connect_timeout=settings.broker_connection_timeout)
        self._calls = Calls(events(address.db), clock, clustered=bool(address.nodes))
        self._acknowledged = Acknowledged(self._calls)
        self._engine = opened(address, settings.broker_send_deadline, self._acknowledged.commands)
        self._known: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = {}
        self._turn = count()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def schedule_store(self) -> RedisSchedules:
        """The verbs of schedules on this engine."""
        return RedisSchedules(self._calls, self._engine.call, self._engine.acall, self._acknowledged.sent)

    @property
    def flow_store(self) -> RedisFlows:
        """The verbs of flows on this engine."""
        return RedisFlows(self._calls, self._engine, self._acknowledged, self._known)

    @property
    def job_store(self) -> RedisJobs:
        """The verbs of single jobs on this engine."""
        return RedisJobs(self._calls, self._engine, self._acknowledged, self._known)

    @property
    def limit_store(self) -> RedisLimits:
        """The verbs of limits on this engine."""
        return RedisLimits(self._calls, self._engine, self._acknowledged, self._known)

    @property
    def mailbox(self) -> RedisBoxes[Letter]:
        """The verbs of boxes on this engine."""
        return RedisBoxes(self._calls, self._engine, Letter, MAX_HEARD)

    @property
    def event_log(self) -> RedisLog[Kept]:
        """The log of events on this engine."""
        return RedisLog(self._engine, EVENTS, Kept)

    def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*, each queue's in atomic steps of 500; raises as the contract says."""
        queues = {job.queue for job in jobs}
        new = queues - self._known
        drive(named(self._calls, queues, operations.send(self._calls, jobs, new)), self._engine.call)
        self._known |= new
        self._acknowledged.sent(jobs)

    async def asend(self, jobs: Sequence[Job]) -> None:
        """The async twin of `send`."""
        queues = {job.queue for job in jobs}
        new = queues - self._known
        await adrive(named(self._calls, queues, operations.send(self._calls, jobs, new)), self._engine.acall)
        self._known |= new
        self._acknowledged.sent(jobs)

    def close(self) -> None:
        """Give back all connections of this process."""
        self._engine.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        leaving = [task for task in self._leaving if task.get_loop() is asyncio.get_running_loop()]
        if leaving:
            _, late = await asyncio.wait(leaving, timeout=LAST_SECONDS)
            for task in late:
                task.cancel()
        await self._engine.aclose()

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open the sessions of *beats*; one round trip."""
        return await self._do(queues, operations.heartbeat(self._calls, beats, queues, lease, opening=opening))

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease ready jobs. Without an answer it raises `BrokerUnavailable`: call `reconcile` then."""
        paused: set[str] = set()
        deliveries, next_due = await self._receive(session, self._rotated(queues), limit, paused)
        if deliveries or wait <= 0:
            return deliveries
        wakes = {self._calls.place(queue) + (b"resumed" if queue in paused else b"wake"): queue for queue in queues}
        seconds = wait if next_due is None else min(wait, next_due)
        try:
            woken = await self._engine.pop(list(wakes), seconds)
            # A token tells which queue has something; the others are asked by the next call.
            order = self._rotated(queues) if woken is None else [wakes[woken]]
            deliveries, _ = await self._receive(session, order, limit, paused)
        except asyncio.CancelledError:
            self._leave(queues)
            raise
        return deliveries

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out *settlements*, in atomic steps of 256; a dead session answers False for each."""
        follow_ups = {job.queue for item in settlements if item.follow_ups for job in item.follow_ups}
        new = follow_ups - self._known
        queues = follow_ups.union(item.delivery.queue for item in settlements)
        answers = await self._do(queues, operations.settle(self._calls, session, settlements, new))
        self._known |= new
        if any(answers):
            self._acknowledged.settled(session, settlements)
        return answers

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return to ready what the broker holds for *session* beyond *held*."""
        number = self._number(session)
        return await self._do(queues, operations.reconcile(self._calls, session, number, queues, held))

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note durably that *delivery* is about to start alone."""
        return await self._do([delivery.queue], operations.mark(self._calls, session, delivery))

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Promote due jobs, return those of ended and lapsed sessions; at most 200 jobs a call."""
        return await self._do(queues, operations.reclaim(self._calls, queues, lease, ended))

    async def age(self, queues: Sequence[str], seconds: float) -> int:
        """Let jobs that nobody takes rise; see `Ager.age`."""
        return await self._do(queues, operations.age(self._calls, queues, seconds))

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make ready what is parked under the names *tasks*."""
        return await self._do(queues, operations.unpark(self._calls, queues, tasks))

    async def queues(self) -> list[str]:
        """The names of all queues ever used, sorted."""
        return await self._do((), inspector.queues())

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Exact numbers for each of *queues*, each as of one moment."""
        return await self._do(queues, inspector.counts(self._calls, queues))

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """The open sessions of *queues*."""
        return await self._do(queues, inspector.sessions(self._calls, queues))

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the server, or with each node of the Cluster; see `Examiner`."""
        del thorough
        return await redis_health.examine(self._engine)

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Find one job; *queue* None looks in every queue."""
        return drive(inspector.locate(self._calls, job_id, queue), self._engine.call)

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        return await adrive(inspector.locate(self._calls, job_id, queue), self._engine.acall)

    async def _do(self, queues: Collection[str], steps: Steps[T]) -> T:
        return await adrive(named(self._calls, queues, steps), self._engine.acall)

    async def _receive(
        self, session: str, queues: Sequence[str], limit: int, paused: set[str]
    ) -> tuple[list[Delivery], float | None]:
        steps = operations.receive(self._calls, session, self._number(session), queues, limit, paused)
        return await self._do(queues, steps)

    def _leave(self, queues: Sequence[str]) -> None:
        """We no longer wait: a token that we were given meanwhile is another's."""
        task = asyncio.get_running_loop().create_task(self._nudged(queues))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _nudged(self, queues: Sequence[str]) -> None:
        with contextlib.suppress(UmbelError):
            for _ in range(2):  # the first may go the way of the other, to our line; by its answer the line is gone
                await self._do(queues, operations.nudge(self._calls, queues))

    def _number(self, session: str) -> int:
        """The next receive number of *session*: counted here, so that a server that lost a second repeats none."""
        numbers = self._numbers.get(session)
        if numbers is None:
            numbers = self._numbers[session] = count(1)
        return next(numbers)

    def _rotated(self, queues: Sequence[str]) -> Sequence[str]:
        """*queues*, each first in its turn, so that a full one starves none."""
        if len(queues) < 2:  # noqa: PLR2004 - nothing to turn
            return queues
        first = next(self._turn) % len(queues)
        return [*queues[first:], *queues[:first]]
