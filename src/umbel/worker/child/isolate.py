"""Isolate: the life of a process that runs one job after the other, and nothing beside it. It has no broker of its own.

It is asked to end a run by signals; what does not listen is killed by the child that holds the job.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any, Final

import msgspec

from umbel import exceptions
from umbel.app.app import Umbel
from umbel.contracts.capabilities import Power, demand, powers_of
from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured, LeaseLost, SoftTimeLimitExceeded, Terminated
from umbel.execution import builtin
from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.interruption import FORCED, LoopWindow, ThreadWindow, Why, meant, struck
from umbel.execution.limits import Limits
from umbel.messenger import messenger
from umbel.model.outcome import Outcome
from umbel.page import Page, taken
from umbel.request import Request
from umbel.signals import worker_process_init, worker_process_shutdown
from umbel.worker import kernel
from umbel.worker.child.executors import make_executor
from umbel.worker.child.parcel import Keep, Kept, Note, Order, Parcels, end_of, packed
from umbel.worker.options import ChildOptions

SOFT_SIGNAL: Final = signal.SIGRTMIN + 1
HARD_SIGNAL: Final = signal.SIGRTMIN + 2
REVOKED_SIGNAL: Final = signal.SIGRTMIN + 3
PERIOD_SECONDS: Final = 0.25
"""At most so often leaves a note of a run."""
_SIGNALS: Final[dict[int, Why]] = {
    SOFT_SIGNAL: "soft",
    HARD_SIGNAL: "timeout",
    signal.SIGTERM: "revoked",
    signal.SIGINT: "revoked",
}


class SignalWindow(ThreadWindow):
    """The window of the main thread: what strikes are signals, so nothing strikes while Python looks elsewhere."""

    __slots__ = ("softly",)

    def __init__(self) -> None:
        """Shut."""
        super().__init__()
        self.softly = False
        """Whether a soft limit has ever struck here."""

    def close(self) -> Why:
        """User code has ended."""
        self._open = False
        return self.why

    def strike(self, number: int, _: FrameType | None) -> None:
        """A signal has come."""
        self.softly = self.softly or number == SOFT_SIGNAL
        if self.why in FORCED:
            return
        self.why = _SIGNALS[number]
        if self._open:
            raise SoftTimeLimitExceeded if self.why == "soft" else Terminated


class Relay:
    """The notebook of this process: hands notes to the child, at most one a period for each run."""

    def __init__(self, app: Umbel, end: socket.socket) -> None:
        """Nothing was said."""
        self._app = app
        self._end = end
        self._turn = threading.Lock()
        self._pid = os.getpid()

    @property
    def able(self) -> bool:
        """Whether the broker keeps notes."""
        return Power.NOTES in powers_of(self._app.broker)

    def check(self) -> None:
        """Raise `ImproperlyConfigured` if the broker keeps no notes."""
        self.demand(Power.NOTES, "update_state")

    def demand(self, power: Power, what: str) -> None:
        """Raise `ImproperlyConfigured` if the broker lacks *power*, which *what* needs."""
        demand(self._app.broker, power, what, masked(self._app.conf.broker_url))

    def enqueue(self, page: Page) -> None:
        """Have *page* leave as soon as its turn comes. Raises `LeaseLost` in a copy of this process."""
        self._check_own()
        wait = page.sent + PERIOD_SECONDS - time.monotonic()
        if wait <= 0:
            self._leave(page)
            return
        timer = threading.Timer(wait, self._leave, (page,))
        timer.daemon = True
        timer.start()

    def send(self, data: bytes) -> None:
        """Write *data*, whole. Raises `LeaseLost` in a copy of this process."""
        self._check_own()
        with self._turn:
            self._end.sendall(data)

    def _check_own(self) -> None:
        """What a copy wrote would be taken for the word of the job that runs here then."""
        if os.getpid() != self._pid:
            raise LeaseLost("this process is a copy that the task has forked: the job belongs to the other one")

    def _leave(self, page: Page) -> None:
        body = None if page.over else taken(page)
        if body is not None:
            self.send(packed(Note(body)))


class FarDesk:
    """The desk of this process: the child keeps what a run amends. Jobs do not end themselves here."""

    def __init__(self, relay: Relay, parcels: Parcels) -> None:
        """Ask over *relay*; answers are among *parcels*."""
        self._relay = relay
        self._parcels = parcels
        self._number = 0
        self._revoked = False

    def begin(self) -> None:
        """Another run begins."""
        self._revoked = False

    def hear(self, _: int, __: FrameType | None) -> None:
        """The job of this run was revoked; it may go on."""
        self._revoked = True

    def check(self) -> None:
        """Raise `ImproperlyConfigured` if the broker cannot keep what a run amends."""
        self._relay.demand(Power.STEPS, "a durable step")

    def amend(self, request: Request, envelope: bytes) -> None:
        """Have the child keep *envelope* as the job, and wait for its answer; see `umbel.request.Desk`."""
        self._number += 1
        self._relay.send(packed(Keep(self._number, envelope)))
        while (arrived := self._parcels.read()) is not None:
            for answer in arrived:
                if isinstance(answer, Kept) and answer.number == self._number:
                    return _raise(answer)
        raise LeaseLost(f"{request.id}: the worker of this process is gone")

    async def aamend(self, request: Request, envelope: bytes) -> None:
        """The async twin of `amend`."""
        await asyncio.to_thread(self.amend, request, envelope)

    def complete(self, request: Request, value: bytes, connection: object) -> None:
        """Refuse."""
        del value, connection
        raise _refused(request)

    async def acomplete(self, request: Request, value: bytes, connection: object) -> None:
        """Refuse."""
        del value, connection
        raise _refused(request)

    def confirm(self, request: Request) -> bool:
        """It never was."""
        del request
        return False

    async def aconfirm(self, request: Request) -> bool:
        """It never was."""
        del request
        return False

    def revoked(self, job_id: str) -> bool:
        """Whether the job was revoked; the child tells by a signal."""
        del job_id
        return self._revoked


def live(app: Umbel, options: ChildOptions, end: socket.socket) -> int:
    """Run what comes over *end* until that closes; answers the exit status."""
    builtin.install(app)
    executor = make_executor(app, options)
    relay = Relay(app, end)
    executor.notebook = relay
    window = SignalWindow()
    for number in _SIGNALS:
        signal.signal(number, window.strike)
    parcels, pid = Parcels(end), os.getpid()
    desk = executor.desk = FarDesk(relay, parcels)
    signal.signal(REVOKED_SIGNAL, desk.hear)
    kernel.take_copies_along()
    worker_process_init.send(None)
    while (arrived := parcels.read()) is not None:
        for order in arrived:
            if isinstance(order, Order):
                desk.begin()
                outcome = _run(executor, order, window)
                if os.getpid() != pid:
                    os._exit(0)  # the task has forked, and this is the copy
                relay.send(packed(end_of(outcome)))
    worker_process_shutdown.send(None, pid=pid, exitcode=0)
    messenger.flush()
    if window.softly:  # nobody has ended what that job had started
        kernel.kill_the_rest()
    return 0


def _run(executor: Executor, order: Order, window: SignalWindow) -> Outcome:
    prepared = executor.prepare(order.delivery, time.time())
    if isinstance(prepared, Finished):
        return prepared.outcome
    run = prepared if not order.args else msgspec.structs.replace(prepared, args=msgspec.Raw(order.args))
    window.begin(order.delivery.id, Limits(order.soft, order.hard))
    try:
        return asyncio.run(_arun(executor, run, window)) if run.task.is_async else executor.run(run, window)
    except (SoftTimeLimitExceeded, Terminated) as error:
        return struck(meant(window, error))


async def _arun(executor: Executor, run: Run, window: SignalWindow) -> Outcome:
    mine = LoopWindow(run.delivery.id)
    mine.soft, mine.hard, mine.task = window.soft, window.hard, asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number, why in _SIGNALS.items():
        loop.add_signal_handler(number, _interrupt, window, mine, why)
    try:
        return await executor.arun(run, mine)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, window.strike)


def _interrupt(window: SignalWindow, mine: LoopWindow, why: Why) -> None:
    window.softly = window.softly or why == "soft"
    mine.interrupt(mine.job, why)


def _raise(answer: Kept) -> None:
    if answer.kind:
        kind: type[Exception] = getattr(exceptions, answer.kind, exceptions.BrokerError)
        raise kind(answer.text)


def _refused(request: Request) -> Any:
    return ImproperlyConfigured(
        f"{request.task}: complete_in needs the worker's own place at the broker, which a task with runner='process' "
        "does not have: leave the runner out"
    )
