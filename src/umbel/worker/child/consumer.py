"""Consumer: free slots -> receive -> runs. Asks for as many jobs as can start at once, and for few more.

More than the free slots are asked for only while `def` jobs have proved short; what then waits behind a job that turns
out long is handed back to the broker, for a child that is idle.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from umbel import log
from umbel.exceptions import BackendError, BrokerError, BrokerUnavailable
from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.runners import Gate, LoopRunner, ThreadRunner
from umbel.model.job import Delivery
from umbel.model.outcome import Ignored, Outcome, Released
from umbel.worker.child.link import Link
from umbel.worker.child.pace import Pace
from umbel.worker.child.settler import Settler

WAIT_SECONDS: Final = 10.0
HAND_BACK_SECONDS: Final = 0.02
RECONCILE_SECONDS: Final = 60.0
MAX_UNSETTLED: Final = 10_000
QUARANTINE_CRASHES: Final = 1
QUARANTINE_LOSSES: Final = 2

_logger = logging.getLogger("umbel.worker")


class Consumer:
    """Receives over *link* and starts what it receives. `run` returns after `stop`, when everything has ended.

    `run` raises `SessionDead` when the session was declared dead: what still runs here would be refused.
    """

    def __init__(self, link: Link, executor: Executor, settler: Settler, gate: Gate, pace: Pace) -> None:
        """Make the runners; nothing starts before `run`."""
        self._link = link
        self._executor = executor
        self._settler = settler
        self._gate = gate
        self._pace = pace
        self._threads = ThreadRunner(executor, gate, pace.threads, self._done)
        self._loop_runner = LoopRunner(executor, gate, self._done)
        self._held: dict[str, Delivery] = {}
        self._quarantine: deque[Run] = deque()
        self._slot = asyncio.Event()
        self._stopping = False
        self._receiving: asyncio.Task[list[Delivery]] | None = None
        self._reconcile_at = time.monotonic() + RECONCILE_SECONDS
        self._watching = False

    def stop(self) -> None:
        """Receive nothing more, hand back what has not begun, let the rest finish; `run` then returns."""
        self._stopping = True
        if self._receiving is not None:
            self._receiving.cancel()
        self._hand_back()
        for run in self._quarantine:
            self._settle(run, Released())
        self._quarantine.clear()
        self._slot.set()

    async def run(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Receive and start until stopped, then wait for what runs; *ready* is awaited after the first answer."""
        told = False
        while not self._stopping:
            if self._quarantine and not self._pace.busy:
                await self._run_alone(self._quarantine.popleft())
                continue
            room = self._room()
            if room <= 0:
                await self._wait_for_slot()
            elif await self._receive(room, WAIT_SECONDS if told else 0.0) and not told:
                told = True
                await ready()
        await self._give_back_lost_answer()
        while self._pace.busy:
            self._slot.clear()
            await self._slot.wait()
        self._threads.close()

    def settled(self, batch: Sequence[Finished]) -> None:
        """Forget the deliveries whose verdicts the broker has answered."""
        for finished in batch:
            held = self._held.get(finished.delivery.id)
            if held is not None and held.number == finished.delivery.number:
                del self._held[finished.delivery.id]

    def _room(self) -> int:
        # An untrusted lease starts nothing, so it must not receive either.
        if self._quarantine or len(self._settler) > MAX_UNSETTLED or not self._gate.trusted():
            return 0
        return self._pace.room(time.monotonic())

    async def _receive(self, room: int, wait: float) -> bool:
        """Receive and start up to *room* jobs, within *wait* seconds; tells whether the broker answered."""
        link = self._link
        try:
            if time.monotonic() >= self._reconcile_at:
                await self._reconcile()
            self._receiving = asyncio.ensure_future(link.broker.receive(link.session, link.queues, room, wait=wait))
            deliveries = await self._receiving
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            return False
        except BrokerError as error:
            await self._pause(error)
            return False
        finally:
            self._receiving = None
        if deliveries:
            await self._start(deliveries)
        return True

    async def _start(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            self._held[delivery.id] = delivery
        ended = await self._ended(deliveries)
        now = time.time()
        for delivery in deliveries:
            if delivery.id in ended:
                self._settler.add(Finished(delivery, Ignored()))
                continue
            prepared = self._executor.prepare(delivery, now)
            if isinstance(prepared, Finished):
                self._settler.add(prepared)
            elif self._stopping:
                self._settle(prepared, Released())
            elif delivery.counts.crashes >= QUARANTINE_CRASHES or delivery.counts.losses >= QUARANTINE_LOSSES:
                self._quarantine.append(prepared)
            else:
                self._submit(prepared)
        if self._quarantine:
            self._hand_back()

    async def _ended(self, deliveries: list[Delivery]) -> set[str]:
        while True:
            try:
                return await self._link.ledger.ended(deliveries)
            except (BackendError, BrokerUnavailable) as error:
                _logger.warning("the result store does not answer, %d jobs wait: %s", len(deliveries), error)
                await asyncio.sleep(random.random())

    def _submit(self, run: Run) -> None:
        log.received(run.task.name, run.delivery.id)
        if run.task.is_async:
            self._pace.started_async()
            self._loop_runner.submit(run)
            return
        self._pace.started()
        self._threads.submit(run)
        if not self._watching:
            self._watch()

    def _watch(self) -> None:
        """Look, as long as jobs wait in this child, whether they move; if not, hand them back."""
        self._watching = self._pace.waiting > 0 and not self._stopping
        if self._watching:
            asyncio.get_running_loop().call_later(HAND_BACK_SECONDS, self._look, self._pace.finished)

    def _look(self, finished_before: int) -> None:
        if self._pace.finished == finished_before:
            self._hand_back()
        self._watch()

    def _hand_back(self) -> None:
        # Released together, in their order: the broker puts them to the front as they are.
        for run in self._threads.take_back():
            self._pace.handed_back(time.monotonic())
            self._settle(run, Released())

    async def _run_alone(self, run: Run) -> None:
        """Run a job that may have killed its process before: nothing else runs here, so nothing else is charged."""
        try:
            ours = await self._link.broker.mark(self._link.session, run.delivery)
        except BrokerError as error:
            self._quarantine.appendleft(run)
            await self._pause(error)
            return
        if not ours:
            self._held.pop(run.delivery.id, None)
            return
        self._submit(run)
        while self._pace.busy:
            self._slot.clear()
            await self._slot.wait()

    def _done(self, run: Run, outcome: Outcome) -> None:
        if run.task.is_async:
            self._pace.done_async()
        else:
            self._pace.done(getattr(outcome, "run", 0.0))
        self._settle(run, outcome)
        self._slot.set()

    def _settle(self, run: Run, outcome: Outcome) -> None:
        self._settler.add(Finished(run.delivery, outcome, run.task.name, self._executor.keeps(run, outcome)))

    async def _wait_for_slot(self) -> None:
        self._slot.clear()
        if self._quarantine:
            await self._slot.wait()
            return
        idle = not self._gate.trusted() or len(self._settler) > MAX_UNSETTLED
        try:
            async with asyncio.timeout(0.1 if idle else self._pace.probe_in(time.monotonic())):
                await self._slot.wait()
        except TimeoutError:
            return

    async def _pause(self, error: Exception) -> None:
        """After a fault of the broker: wait a little, then make sure that a lost answer strands no job."""
        _logger.debug("receive failed: %s", error)
        self._reconcile_at = 0.0
        if not self._stopping:
            await asyncio.sleep(random.random())

    async def _reconcile(self) -> None:
        link = self._link
        returned = await link.broker.reconcile(link.session, link.queues, list(self._held.values()))
        self._reconcile_at = time.monotonic() + RECONCILE_SECONDS
        if returned:
            _logger.info("%d jobs of a lost answer went back to the queue", returned)

    async def _give_back_lost_answer(self) -> None:
        # A receive that was cancelled may have handed out jobs that nobody here knows of.
        try:
            await self._reconcile()
        except BrokerError as error:
            _logger.debug("reconcile at stop failed, the supervisor ends the session: %s", error)
