"""A real worker in a thread of this process, for tests: the same consumer, executor and settler, without processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial

from umbel.app.app import Umbel
from umbel.contracts.ageing import Ageing
from umbel.contracts.broker import Beat
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.limits import LimitHolder
from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured
from umbel.execution.limits import Limits
from umbel.model import presence
from umbel.model.ids import new_session
from umbel.model.presence import Presence, RunningJob
from umbel.worker.child.child import Child
from umbel.worker.messages import Adjusted, Interrupt, Why
from umbel.worker.options import ChildOptions

STOP_SECONDS = 30.0
PING = "umbel.ping"


class OpenGate:
    """Lets every job start: in one process the lease is as alive as the worker.

    At its limits a run is told to end. One that does not listen goes on: nobody can kill the process of a test.
    """

    def __init__(self) -> None:
        """Nothing has started; see `tell`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interrupt: Callable[[Interrupt], None] | None = None
        self._slots = itertools.count()
        self._started: dict[int, RunningJob] = {}

    def tell(self, interrupt: Callable[[Interrupt], None]) -> None:
        """Have jobs that exceed their limits interrupted by *interrupt*, in the loop that runs now."""
        self._loop, self._interrupt = asyncio.get_running_loop(), interrupt

    def trusted(self) -> bool:
        """Always."""
        return True

    def take(self, job_id: str, task: str, limits: Limits | None = None, *, isolated: bool = False) -> int:
        """Note that the job starts now, for those who tell of it, and have it told when its time is over."""
        del isolated
        slot = next(self._slots)
        self._started[slot] = RunningJob(job_id, task, time.time())
        if limits is not None:
            self._limit(slot, limits)
        return slot

    def _limit(self, slot: int, limits: Limits) -> None:
        moments: list[tuple[Why, float | None]] = [("soft", limits.soft), ("timeout", limits.hard)]
        for why, seconds in moments:
            if seconds is not None and self._loop is not None:
                strike = partial(self._strike, slot, why)
                self._loop.call_soon_threadsafe(partial(self._loop.call_later, seconds, strike))

    def give(self, slot: int) -> None:
        """Note that the job has its outcome."""
        self._started.pop(slot, None)

    def _strike(self, slot: int, why: Why) -> None:
        job = self._started.get(slot)
        if job is not None and self._interrupt is not None:
            self._interrupt(Interrupt([job.id], why))

    def started(self) -> list[RunningJob]:
        """The jobs that have started and have no outcome yet."""
        return list(self._started.copy().values())


class ThreadWorker:
    """A worker that lives in a thread from `start` to `stop`; `worker` is the usual way to have one."""

    def __init__(self, app: Umbel, options: ChildOptions) -> None:
        """Run the jobs of *app* as *options* say."""
        self._app = app
        self._options = options
        self._born = time.time()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._work, name="umbel-testing", daemon=True)
        self._fault: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._child: Child | None = None

    def start(self) -> None:
        """Return when it receives. Raises what kept it from that."""
        self._thread.start()
        self._started.wait()
        self._raise()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Finish what runs, hand back the rest. Raises what it died of, or `RuntimeError` if that takes longer."""
        if self._loop is not None and self._child is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._child.stop)
        self._thread.join(seconds)
        self._raise()
        if self._thread.is_alive():
            raise RuntimeError(f"a job still runs {seconds:g} s after the worker was told to stop")

    def _raise(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _work(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            self._fault = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        options, lease = self._options, self._app.conf.worker_lease
        ageing = Ageing(self._app.broker, self._app.conf.task_priority_ageing, masked(self._app.conf.broker_url))
        gate = OpenGate()
        await self._app.broker.heartbeat([self._sign(gate)], options.queues, lease, opening=True)
        self._loop = asyncio.get_running_loop()
        self._child = Child(self._app, options, gate)
        gate.tell(self._child.interrupt)
        await self._look(self._child)
        beating = asyncio.ensure_future(self._beat(gate, lease, ageing))
        try:
            await self._child.run(self._ready)
        finally:
            beating.cancel()

    async def _ready(self) -> None:
        self._started.set()

    def _sign(self, gate: OpenGate) -> Beat:
        """That it lives, and what it is, as those have it who look."""
        options = self._options
        told = Presence(
            worker=options.worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            child=os.getpid(),
            threads=options.threads,
            async_slots=options.async_slots,
            started=self._born,
            queues=options.queues,
            running=tuple(gate.started()),
        )
        return Beat(options.session, presence.encode(told))

    async def _beat(self, gate: OpenGate, lease: float, ageing: Ageing) -> None:
        options = self._options
        while True:
            await self._app.broker.unpark(options.queues, tuple(self._app.tasks))
            await asyncio.sleep(ageing.interval(lease / 3))
            await self._app.broker.heartbeat([self._sign(gate)], options.queues, lease)
            await self._app.broker.reclaim(options.queues, lease)
            await ageing.age(options.queues)
            if self._child is not None:
                await self._look(self._child)

    async def _look(self, child: Child) -> None:
        """Have *child* know which rates were set."""
        broker: object = self._app.broker
        if isinstance(broker, LimitHolder) and Power.LIMITS in powers_of(broker):
            child.change(Adjusted(await broker.limit_store.adjusted(self._options.queues)))


@contextlib.contextmanager
def worker(app: Umbel, *, queues: Sequence[str] = (), threads: int = 1, async_slots: int = 100) -> Generator[None]:
    """Run the jobs of *app* in the background for the length of a ``with`` block; on leaving, what runs is finished.

    *queues* default to those of ``task_queues``, else the default queue. Works on every broker, ``memory://`` included.
    """
    chosen = tuple(queues) or app.conf.usual_queues
    running = ThreadWorker(app, _options(app, chosen, threads, async_slots))
    running.start()
    try:
        yield
    finally:
        running.stop()


@contextlib.contextmanager
def start_worker(
    app: Umbel,
    concurrency: int = 1,
    pool: str = "solo",
    *,
    perform_ping_check: bool = True,
    shutdown_timeout: float = 10.0,
    queues: Sequence[str] = (),
) -> Generator[ThreadWorker]:
    """The worker of `worker` under Celery's name and arguments: *pool* is ``solo``, ``threads`` or ``asyncio``.

    *perform_ping_check* has it run a job first, unless the app keeps no results. Raises `ImproperlyConfigured` for a
    pool of processes, which no thread can be.
    """
    slots = {"solo": (1, 100), "threads": (concurrency, 100), "asyncio": (1, concurrency)}
    if pool not in slots or (pool == "solo" and concurrency > 1):
        raise ImproperlyConfigured(
            f"a worker in a thread cannot have pool={pool!r}, {concurrency=}: use pool='threads'"
        )
    chosen = tuple(queues) or app.conf.usual_queues
    ping = app.tasks.get(PING) or app.task(name=PING)(_ping)
    running = ThreadWorker(app, _options(app, chosen, *slots[pool]))
    running.start()
    try:
        if perform_ping_check and not app.conf.task_ignore_result:
            assert ping.apply_async(queue=chosen[0]).get(timeout=shutdown_timeout) == "pong"
        yield running
    finally:
        running.stop(shutdown_timeout)


def _ping() -> str:
    return "pong"


def _options(app: Umbel, queues: tuple[str, ...], threads: int, async_slots: int) -> ChildOptions:
    return ChildOptions(
        session=new_session(),
        worker="umbel@testing",
        queues=queues,
        threads=threads,
        async_slots=async_slots,
        max_crashes=app.conf.worker_max_crashes,
        soft_time_limit=app.conf.task_soft_time_limit,
        time_limit=app.conf.task_time_limit,
        events=app.conf.worker_send_task_events,
    )
