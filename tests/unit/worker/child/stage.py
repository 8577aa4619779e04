"""Children in this process: real consumers, executors and settlers over one space in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from umbel import Task, Umbel
from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Broker, Ended
from umbel.contracts.powers import QueueCounts
from umbel.engines.memory import Space
from umbel.execution.executor import Executor, Finished
from umbel.execution.limits import Limits
from umbel.execution.runners import Gate
from umbel.model.ids import new_session
from umbel.model.job import Delivery
from umbel.stores.memory import MemoryStore
from umbel.wire import record
from umbel.worker.child.consumer import Consumer
from umbel.worker.child.ledger import Ledger, OwnEngine
from umbel.worker.child.link import Link
from umbel.worker.child.pace import Pace
from umbel.worker.child.settler import Settler

QUEUE = "default"
LEASE = 60.0
DEADLINE_SECONDS = 30.0


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until *condition* is true; the loop goes on meanwhile."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():  # noqa: ASYNC110 - the things waited for know no events
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_SECONDS:g} s: {what}") from None


def threads_of_runners() -> set[threading.Thread]:
    """The first thread of each runner in this process."""
    return {thread for thread in threading.enumerate() if thread.name == "umbel-0"}


class Watchman:
    """A gate that notes what starts and ends, and that can be closed."""

    def __init__(self) -> None:
        self.open = True
        self.asked = 0
        self.running: dict[int, str] = {}
        self.beside: dict[str, int] = {}
        self.limits: dict[str, tuple[float | None, float | None, bool]] = {}
        self.most = 0
        self._next = 0

    def trusted(self) -> bool:
        """Whether the lease is trusted."""
        self.asked += 1
        return self.open

    def take(self, job_id: str, task: str, limits: Limits | None = None, *, isolated: bool = False) -> int:
        """Note that a job starts, and when it is to end."""
        self._next += 1
        self.beside[job_id] = len(self.running)
        self.running[self._next] = job_id
        self.most = max(self.most, len(self.running))
        if limits is not None:
            self.limits[job_id] = (limits.soft, limits.hard, isolated)
        return self._next

    def give(self, slot: int) -> None:
        """Note that it ended."""
        del self.running[slot]


class Running:
    """One child between its start and its end."""

    def __init__(self, session: str, consumer: Consumer, settler: Settler, gate: Gate) -> None:
        self.session = session
        self.consumer = consumer
        self.settler = settler
        self.gate = gate
        self.refused: list[str] = []
        self.ready = asyncio.Event()
        self.consuming: asyncio.Task[None] | None = None

    async def be_ready(self) -> None:
        """The first answer of the broker has come."""
        self.ready.set()

    async def stop(self) -> None:
        """Stop, and wait until all is settled."""
        assert self.consuming is not None
        self.consumer.stop()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.consuming
            await self.settler.drained()


class Stage:
    """One space in memory, one app, any number of children."""

    def __init__(self) -> None:
        self.space = Space()
        self.broker = MemoryBroker(self.space)
        self.store = MemoryStore(self.space)
        self.regulated = True  # whether children ask for jobs under limits
        self.app = Umbel("child", broker=self.broker, backend=self.store, set_as_current=False)

    def task(self, function: Callable[..., Any], **options: Any) -> Task[..., Any]:
        """A task of *function*."""
        made: Task[..., Any] = self.app.task(name=function.__name__, typing=False, **options)(function)
        return made

    def send(self, task: Task[..., Any], *calls: Sequence[Any]) -> list[str]:
        """Send a job of *task* for each of *calls*; answers the ids."""
        return [task.apply_async(args).id for args in calls]

    def state(self, job_id: str) -> str | None:
        """The state in the record of a job, if it has one."""
        found = self.store.fetch(job_id, None)
        return None if found is None else record.decode(found).state if found else "no record"

    async def ended(self, *job_ids: str) -> None:
        """Wait until these jobs have their records."""
        await until(lambda: all(self.store.fetch(each, None) is not None for each in job_ids), "the jobs have ended")

    async def counts(self) -> QueueCounts:
        """What the queue holds."""
        return (await self.broker.counts([QUEUE]))[0]

    async def open(self) -> str:
        """A session."""
        session = new_session()
        await self.broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)
        return session

    async def charge(self, *job_ids: str, crashes: int = 0, losses: int = 0) -> None:
        """Let a process that has *job_ids* die so often, noticed or unnoticed."""
        for _ in range(crashes):
            session, _ = await self._take()
            await self.broker.reclaim([QUEUE], LEASE, [Ended(session, job_ids)])
        for _ in range(losses):
            session, held = await self._take()
            queue = self.space.queue(QUEUE)
            queue.sessions[session].deadline = 0.0
            assert (await self.broker.reclaim([QUEUE], LEASE)).returned == len(held)

    async def _take(self) -> tuple[str, list[Delivery]]:
        session = await self.open()
        return session, await self.broker.receive(session, [QUEUE], 256, wait=0)

    @asynccontextmanager
    async def child(
        self,
        broker: Broker | None = None,
        *,
        gate: Gate | None = None,
        ledger: Ledger | None = None,
        threads: int = 1,
        async_slots: int = 100,
        jobs_are_short: bool = False,
    ) -> AsyncGenerator[Running]:
        """A child that runs for the length of the block; one that has learned that *jobs_are_short* asks ahead."""
        session = await self.open()
        gate = gate or Watchman()
        link = Link(broker or MemoryBroker(self.space), ledger or OwnEngine(), session, (QUEUE,))
        executor = Executor(self.app.tasks, "child@test")
        kinds = {task.is_async for task in self.app.tasks.values()}
        pace = Pace(threads, async_slots, has_def=False in kinds, has_async=True in kinds)
        if jobs_are_short:
            pace.started()
            pace.done(0.0001)

        def settled(batch: list[Finished], answers: list[bool]) -> None:
            running.consumer.settled(batch)
            running.refused += [each.delivery.id for each, ours in zip(batch, answers, strict=True) if not ours]

        settler = Settler(link, "child@test", 60.0, settled)
        running = Running(session, Consumer(link, executor, settler, gate, pace), settler, gate)
        if self.regulated:
            running.consumer.doorkeeper.regulate(self.app, self.app.tasks)
        settling = asyncio.create_task(settler.run())
        running.consuming = asyncio.create_task(running.consumer.run(running.be_ready))
        try:
            yield running
        finally:
            running.consuming.cancel()
            settling.cancel()
            await asyncio.wait((running.consuming, settling))
