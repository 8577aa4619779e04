"""Consumer: free slots -> receive -> runs. Asks for as many jobs as can start at once, and for few more.

More than the free slots are asked for only while `def` jobs have proved short; what then waits behind a job that turns
out long is handed back to the broker, for a child that is idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from umbel import log
from umbel.exceptions import BrokerUnavailable, UmbelError
from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.moments import Moments
from umbel.execution.runners import Gate, Isolator, LoopRunner, ThreadRunner
from umbel.execution.verdict import ended_before
from umbel.model import chance
from umbel.model.job import Delivery
from umbel.model.outcome import Outcome, Released
from umbel.signals import UNSTARTED, task_received
from umbel.worker import messages
from umbel.worker.child.doorkeeper import Doorkeeper
from umbel.worker.child.link import Link
from umbel.worker.child.pace import Pace
from umbel.worker.child.pulse import Pulse
from umbel.worker.child.quarantine import dangerous
from umbel.worker.child.quota import Quota
from umbel.worker.child.settler import Settler

T = TypeVar("T")

WAIT_SECONDS: Final = 5.0
"""How long a receive waits for a job. Its end, with or without one, is what says that this child is not deaf."""
HAND_BACK_SECONDS: Final = 0.02
RECONCILE_SECONDS: Final = 60.0
LAST_SECONDS: Final = 2.0
"""How long, at a stop, the broker may take to hear what is held here; if it is away, the session ends without that."""
MAX_UNSETTLED: Final = 10_000

_logger = logging.getLogger("umbel.worker")


class Consumer:
    """Receives over *link* and starts what it receives. `run` returns after `stop`, when everything has ended.

    `run` raises `SessionDead` when the session was declared dead: what still runs here would be refused.
    """

    pulse: Pulse | None = None
    moments: Moments | None = None
    """Told of jobs that are received and of those that do not run."""

    def __init__(self, link: Link, executor: Executor, settler: Settler, gate: Gate, pace: Pace) -> None:
        """Make the runners; nothing starts before `run`."""
        self._link = link
        self._executor = executor
        self._settler = settler
        self._gate = gate
        self._pace = pace
        self._threads = ThreadRunner(executor, gate, pace.threads, self._done)
        self._loop_runner = LoopRunner(executor, gate, max(1, pace.async_slots), self._done)
        self.doorkeeper = Doorkeeper(link, executor)
        self._held: dict[str, Delivery] = {}
        self.held: Mapping[str, Delivery] = self._held  # those without an answered outcome, for whoever looks
        self._quarantine: deque[Run] = deque()
        self._slot = asyncio.Event()
        self._stopping = False
        self._stop_asked = asyncio.Event()
        self._receiving: asyncio.Task[list[Delivery]] | None = None
        self._patience: asyncio.Timeout | None = None
        self._reconcile_at = time.monotonic() + RECONCILE_SECONDS
        self._watching = False
        self._fault = ""
        self.quota: Quota | None = None
        """How many jobs may begin here; None: any number."""

    def stop(self) -> None:
        """Receive nothing more, hand back what has not begun, let the rest finish; `run` then returns."""
        self._stopping = True
        self._stop_asked.set()
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())
        self._withhold()

    def quieten(self, *, on: bool) -> None:
        """Receive nothing more and hand back what has not begun, or receive again; what runs goes on."""
        self._pace.quiet = on
        self._withhold()

    def isolate(self, isolator: Isolator) -> None:
        """Run the jobs of tasks whose runner is "process" by *isolator*."""
        self._threads.isolator = isolator

    def interrupt(self, job: str, why: messages.Why, number: int = 0) -> None:
        """Have *job* end if it runs here, unless *why* is "withdrawn"; or not begin if it is revoked and waits here."""
        if why != "withdrawn" and (self._threads.interrupt(job, why, number) or self._loop_runner.interrupt(job, why)):
            return
        if why in ("revoked", "withdrawn") and job in self._held:
            self._executor.withdrawn.add(job)

    async def run(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Receive and start until stopped, then wait for what runs; *ready* is awaited after the first answer."""
        try:
            await self._consume(ready)
            self._release_quarantine()
            await self._give_back_lost_answer()
            await self._all_done()
        finally:
            # Whatever runs now is abandoned: no hook of a task shall take the end of this child for a failure.
            self._executor.abandon()
            self._threads.close()

    async def _consume(self, ready: Callable[[], Awaitable[None]]) -> None:
        told = False
        while not self._stopping:
            if time.monotonic() >= self._reconcile_at:
                await self._make_sure()
                continue
            if self._quarantine and not self._pace.busy:
                await self._run_alone(self._quarantine.popleft())
                continue
            room = self._room()
            if room <= 0:
                await self._wait_for_slot()
            elif await self._receive(room, WAIT_SECONDS if told else 0.0) and not told:
                told = True
                await ready()

    def settled(self, batch: Sequence[Finished]) -> None:
        """Forget the deliveries whose verdicts the broker has answered."""
        for finished in batch:
            held = self._held.get(finished.delivery.id)
            if held is not None and held.number == finished.delivery.number:
                del self._held[finished.delivery.id]
        self.doorkeeper.left(batch)
        if self._executor.withdrawn:
            self._executor.withdrawn &= self._held.keys()

    def _room(self) -> int:
        # An untrusted lease starts nothing, so it must not receive either.
        if self._quarantine or len(self._settler) > MAX_UNSETTLED or not self._gate.trusted():
            return 0
        room = self._pace.room(time.monotonic())
        return room if self.quota is None else self.quota.room(room)

    async def _receive(self, room: int, wait: float) -> bool:
        """Receive and start up to *room* jobs, within *wait* seconds; tells whether the broker answered."""
        link = self._link
        try:
            self._receiving = asyncio.ensure_future(link.broker.receive(link.session, link.queues, room, wait=wait))
            deliveries = await self._receiving
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._reconcile_at = 0.0  # broken off, perhaps in the moment in which it was answered
            return False
        except UmbelError as error:
            await self._pause(error)
            return False
        finally:
            self._receiving = None
        self._fault = ""
        self._turned()
        for delivery in deliveries:
            self._held[delivery.id] = delivery
        if deliveries:
            await self._start(deliveries, await self._ended(deliveries))
        return True

    async def _start(self, deliveries: list[Delivery], ended: dict[str, bytes]) -> None:
        now = time.time()
        asked: list[Run] = []
        for delivery in deliveries:
            if delivery.id in ended:
                self._settler.add(ended_before(delivery, ended[delivery.id], now))
                continue
            prepared = self._executor.prepare(delivery, now)
            if isinstance(prepared, Finished):
                self._settler.add(prepared)
                if UNSTARTED and self.moments is not None:
                    self.moments.not_begun(prepared)
            elif self.doorkeeper.passes(prepared):
                self._accept(prepared)
            else:
                asked.append(prepared)
        if asked:
            await self._start_asked(asked)
        if self._quarantine:
            self._hand_back_all()

    def _accept(self, run: Run) -> None:
        if self._stopping or self._pace.quiet:
            self._settle(run, Released())
        elif dangerous(run):
            self._quarantine.append(run)
        else:
            self._submit(run)

    async def _start_asked(self, runs: list[Run]) -> None:
        """Start those of *runs* that may, or end them; the broker keeps the others until their limits allow them."""
        answered = await self._answered(lambda: self.doorkeeper.ask(runs, self._drop), len(runs))
        for one in runs if answered is None else answered:
            if isinstance(one, Finished):
                self._settler.add(one)
            else:
                self._accept(one)

    def _drop(self, delivery: Delivery) -> None:
        """Forget what the broker has taken back."""
        self._held.pop(delivery.id, None)
        self.doorkeeper.forget(delivery)

    async def _ended(self, deliveries: list[Delivery]) -> dict[str, bytes]:
        """The records of those of *deliveries* that must not run again."""
        return await self._answered(lambda: self._link.ledger.ended(deliveries), len(deliveries)) or {}

    async def _answered(self, ask: Callable[[], Awaitable[T]], waiting: int) -> T | None:
        """What *ask* answers, asked again until it does; None after a stop, as nothing is started then."""
        while not self._stopping:
            try:
                return await ask()
            except UmbelError as error:
                if self._fault != str(error):
                    self._fault = str(error)
                    _logger.warning("what %d jobs need cannot be read, they wait: %s", waiting, error)
                self._turned()  # a store that is away makes nobody deaf
                await self._sleep()
        return None

    def _submit(self, run: Run) -> None:
        if self.quota is not None:
            self.quota.begin()
        log.received(run.task.name, run.delivery.id)
        if task_received.receivers and self.moments is not None:
            self.moments.received(run)
        if run.task.on_loop:
            self._pace.started_async()
            self._loop_runner.submit(run)
        else:
            self._pace.started()
            self._threads.submit(run)
        if not self._watching:
            self._watch()

    def _watch(self) -> None:
        """Look, as long as jobs wait in this child, whether they move; if not, hand them back."""
        pace = self._pace
        self._watching = (pace.waiting > 0 or pace.waiting_async > 0) and not self._stopping
        if self._watching:
            loop = asyncio.get_running_loop()
            loop.call_later(HAND_BACK_SECONDS, self._look, pace.finished, pace.finished_async)

    def _look(self, finished: int, finished_async: int) -> None:
        if self._pace.finished == finished:
            self._hand_back()
        if self._pace.finished_async == finished_async:
            self._hand_back_async()
        self._watch()

    def _break_off(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()

    def _withhold(self) -> None:
        """Look anew; what waits here, or is on its way, is for others if this child shall start nothing."""
        if self._stopping or self._pace.quiet:
            self._break_off()
            self._release_quarantine()
            self._hand_back_all()
        self._slot.set()

    def _hand_back_all(self) -> None:
        self._hand_back()
        self._hand_back_async()

    # Both in the order in which they wait: what is released together comes to the front in that order. A receive that
    # waits would be the first to take it again. If no thread had begun even the first one, nothing is left here that
    # could free a slot by ending: whoever waits for one has to look again.

    def _hand_back(self) -> None:
        self._not_begun(self._threads.take_back(), self._pace.handed_back)

    def _hand_back_async(self) -> None:
        self._not_begun(self._loop_runner.take_back(), self._pace.handed_back_async)

    def _not_begun(self, waiting: Sequence[Run], handed_back: Callable[[float], None]) -> None:
        if waiting:
            self._break_off()
        for run in waiting:
            handed_back(time.monotonic())
            if self.quota is not None:
                self.quota.hand_back()
            self._settle(run, Released())
            self._slot.set()

    def _release_quarantine(self) -> None:
        while self._quarantine:
            self._settle(self._quarantine.popleft(), Released())

    async def _run_alone(self, run: Run) -> None:
        """Run a job that may have killed its process before: nothing else runs here, so nothing else is charged."""
        try:
            ours = await self._link.broker.mark(self._link.session, run.delivery)
        except UmbelError as error:
            self._quarantine.appendleft(run)
            await self._pause(error)
            return
        if not ours:
            self._drop(run.delivery)
            return
        if self._stopping or self._pace.quiet:
            self._settle(run, Released())
            return
        self._submit(run)
        self._full()
        await self._all_done()

    async def _all_done(self) -> None:
        """Wait until nothing runs here."""
        while self._pace.busy:
            self._slot.clear()
            await self._slot.wait()

    def _done(self, run: Run, outcome: Outcome) -> None:
        if run.task.on_loop:
            self._pace.done_async()
        else:
            self._pace.done(getattr(outcome, "run", 0.0))
        self._settle(run, outcome)
        self._slot.set()

    def _settle(self, run: Run, outcome: Outcome) -> None:
        self._settler.add(self._executor.finished(run, outcome))

    async def _wait_for_slot(self) -> None:
        self._slot.clear()
        idle = not self._quarantine and (not self._gate.trusted() or len(self._settler) > MAX_UNSETTLED)
        if not idle:
            self._full()
        seconds = None if self._quarantine else self._pace.probe_in(time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1 if idle else seconds):
                await self._slot.wait()

    def _turned(self) -> None:
        if self.pulse is not None:
            self.pulse.hear()

    def _full(self) -> None:
        if self.pulse is not None:
            self.pulse.fill()

    async def _pause(self, error: UmbelError) -> None:
        """After a fault of the broker: wait a little, then make sure that a lost answer strands no job."""
        if str(error) != self._fault:  # once an outage; what it means for leases, the supervisor says
            self._fault = str(error)
            level = logging.INFO if isinstance(error, BrokerUnavailable) else logging.ERROR
            _logger.log(level, "no jobs from the broker, trying again: %s", error)
        self._reconcile_at = 0.0
        await self._sleep()

    async def _sleep(self) -> None:
        """Up to a second, so that all children do not come back at once; no longer than to the stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.random()):
                await self._stop_asked.wait()

    async def _make_sure(self) -> None:
        """Reconcile, also when no slot is free: a job that is stranded here shall not wait for one."""
        try:
            async with asyncio.timeout(None) as self._patience:
                await self._reconcile()
        except UmbelError as error:
            await self._pause(error)
        except TimeoutError:
            return  # a stop: it is asked once more then
        finally:
            self._patience = None

    async def _reconcile(self) -> None:
        link = self._link
        returned = await link.broker.reconcile(link.session, link.queues, list(self._held.values()))
        self._reconcile_at = time.monotonic() + RECONCILE_SECONDS
        if returned:
            _logger.info("%d jobs of a lost answer went back to the queue", returned)

    async def _give_back_lost_answer(self) -> None:
        # A receive that was cancelled may have handed out jobs that nobody here knows of.
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self._reconcile()
        except (UmbelError, TimeoutError) as error:
            _logger.debug("reconcile at stop failed, the supervisor ends the session: %s", error)
