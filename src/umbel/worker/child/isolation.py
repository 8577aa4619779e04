"""Isolation: the child's side of jobs that run in processes of their own. Each waits here in a thread for its outcome.

That thread sees to the limits of the job, and kills what does not end: no job beside it notices.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import threading
import time
from typing import Final, Protocol

import msgspec

from umbel.exceptions import LeaseLost, MemoryLimitExceeded, TimeLimitExceeded, UmbelError
from umbel.execution.executor import Run
from umbel.execution.interruption import Why
from umbel.execution.limits import Limits
from umbel.execution.moments import killed
from umbel.model.failure import capture
from umbel.model.job import Delivery, Doom
from umbel.model.outcome import Crashed, Failed, Outcome, Released, Revoked
from umbel.signals import UNSTARTED
from umbel.worker import kernel
from umbel.worker.child.isolate import HARD_SIGNAL, REVOKED_SIGNAL, SOFT_SIGNAL
from umbel.worker.child.nursery import ASK_SECONDS, ask
from umbel.worker.child.parcel import End, Keep, Kept, Note, Order, Parcel, Parcels, outcome_in, packed

LOOK_SECONDS: Final = 0.2
TIMEOUT_GRACE_SECONDS: Final = 0.5
REVOKE_GRACE_SECONDS: Final = 1.0
HOOK_SECONDS: Final = 10.0
"""How long the hooks of a job may take whose process was killed."""
FAREWELL_SECONDS: Final = 5.0
"""How long processes may take, at the end of a child, for what they still have to tell: events, spans, signals."""
_NEVER: Final = float("inf")

logger = logging.getLogger("umbel.worker")


class Notes(Protocol):
    """Where notes of runs in other processes go; see `umbel.worker.child.notebook.Notebook`."""

    def relay(self, delivery: Delivery, body: bytes) -> None:
        """Have the note *body* leave. Raises `LeaseLost`."""

    def forget(self, delivery: Delivery) -> None:
        """The run is over."""


class Desk(Protocol):
    """Who speaks with the broker for runs in other processes; see `umbel.worker.child.desk.Desk`."""

    def keep(self, delivery: Delivery, envelope: bytes) -> None:
        """Keep *envelope* as the job of *delivery*. Raises `UmbelError`."""

    def revoked(self, job_id: str) -> bool:
        """Whether the job was revoked."""
        ...


class Isolate:
    """One process, from here: our end of its socket, and a pidfd."""

    def __init__(self, end: socket.socket, pid: int, process: int) -> None:
        """Take over *end* and the pidfd *process*."""
        self.pid = pid
        self.served = 0
        self._end = end
        self._process = process
        self._parcels = Parcels(end)
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        self._poll.register(process, select.POLLIN)

    def begin(self, order: Order) -> None:
        """Have it run *order*. Raises OSError when it is gone."""
        self.served += 1
        self._end.sendall(packed(order))

    def answer(self, kept: Kept) -> None:
        """Tell it what became of what it asked for. Raises OSError when it is gone."""
        self._end.sendall(packed(kept))

    def read(self, seconds: float) -> list[Parcel] | None:
        """What it has said within *seconds*; None when it is gone."""
        news = dict(self._poll.poll(max(0.0, seconds) * 1000))
        if self._end.fileno() in news:
            return self._parcels.read()
        return None if news else []

    def signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """End it at once, and all that it has started."""
        self.signal(signal.SIGKILL)
        self._end.close()
        os.close(self._process)

    def dismiss(self) -> None:
        """Let it go: it says farewell and ends by itself. Nothing but `gone` may be asked of it then."""
        self._poll.unregister(self._end)
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)  # a copy of this process, which a task has forked, may hold it too
        self._end.close()

    def gone(self, seconds: float) -> bool:
        """Whether one that was dismissed has ended within *seconds*."""
        ended = bool(self._poll.poll(max(0.0, seconds) * 1000))
        if ended:
            os.close(self._process)
        return ended


class Case:
    """One run in a process of its own: when it is to end, and why. Times are monotonic seconds."""

    def __init__(self, run: Run, isolate: Isolate, limits: Limits | None) -> None:
        """It begins now."""
        self.run = run
        self.isolate = isolate
        self.why: Why | str = ""
        self.softly = False
        """Whether its soft limit has passed."""
        self.told = False
        """Whether its process knows that the job was revoked, and may go on."""
        self.began = time.monotonic()
        self.limits = limits or Limits()
        self._soft_at = _NEVER if self.limits.soft is None else self.began + self.limits.soft
        self._hard_at = _NEVER if self.limits.hard is None else self.began + self.limits.hard
        self._kill_at = _NEVER
        self._memory = run.task.memory_limit

    def pause(self, now: float) -> float:
        """For how many seconds there is nothing to be done."""
        return min(LOOK_SECONDS, self._soft_at - now, self._hard_at - now, self._kill_at - now)

    def look(self, now: float) -> None:
        """Do what is due."""
        if now >= self._kill_at:
            self.isolate.signal(signal.SIGKILL)
        elif now >= self._hard_at:
            self._end("timeout", HARD_SIGNAL, now + TIMEOUT_GRACE_SECONDS)
            self._hard_at = _NEVER
        elif now >= self._soft_at:
            self._soft_at, self.softly = _NEVER, True
            self.isolate.signal(SOFT_SIGNAL)
        if self._memory is not None and kernel.resident(self.isolate.pid) > self._memory:
            self._end("memory", signal.SIGKILL, _NEVER)
            self._memory = None

    def revoke(self, number: int) -> None:
        """Have it end as revoked; from any thread."""
        self._end("revoked", number or signal.SIGTERM, time.monotonic() + REVOKE_GRACE_SECONDS)

    def _end(self, why: str, number: int, kill_at: float) -> None:
        if not self.why:
            self.why, self._kill_at = why, kill_at
            self.isolate.signal(number)

    def outcome(self, found: Outcome | None) -> Outcome:
        """What becomes of the job; *found* is what the process said, None if it has died."""
        seconds = time.monotonic() - self.began
        match self.why:
            case "revoked":
                return Revoked("terminated")
            case "timeout":
                return Failed(capture(TimeLimitExceeded(self.limits.hard)), seconds)
            case "memory":
                text = f"the job took more memory than its memory_limit of {self.run.task.memory_limit} bytes"
                return Failed(capture(MemoryLimitExceeded(text)), seconds)
            case _:
                return Crashed(seconds) if found is None else found


class Isolator:
    """Runs jobs in processes that the forkserver makes when it is asked over *nursery*; they are used again."""

    def __init__(self, nursery: socket.socket, notes: Notes, max_jobs: int | None, desk: Desk) -> None:
        """Make none yet; each serves up to *max_jobs* jobs."""
        self._desk = desk
        nursery.settimeout(ASK_SECONDS)
        self._nursery = nursery
        self._notes = notes
        self._max_jobs = max_jobs
        self._turn = threading.Lock()
        self._farewells = threading.Lock()
        self._idle: list[Isolate] = []
        self._leaving: list[Isolate] = []
        self._cases: dict[str, Case] = {}

    def run(self, run: Run, limits: Limits | None) -> Outcome:
        """The outcome of *run*; waits for it."""
        delivery = run.delivery
        try:
            case = self._begin(run, limits)
        except OSError:
            logger.exception("no process for %s[%s]: it goes back to its queue", run.task.name, delivery.id)
            return Released()
        self._cases[delivery.id] = case
        try:
            found = self._watched(case)
            outcome = case.outcome(found)
            if found is None:
                self._tell(run, outcome)
            return outcome
        finally:
            self._cases.pop(delivery.id, None)
            self._notes.forget(delivery)

    def close(self) -> None:
        """Dismiss all, when nothing runs any more, and wait a moment: what they still have to tell ends with us."""
        end = time.monotonic() + FAREWELL_SECONDS
        for isolate in self._idle:
            isolate.dismiss()
        for isolate in (*self._idle, *self._leaving):
            isolate.gone(end - time.monotonic())
        self._idle, self._leaving = [], []

    def _tell(self, run: Run, outcome: Outcome) -> None:
        """The process of *run* has been killed: tell the hooks of its task, in another one, or whoever listens."""
        if run.task.hooks and isinstance(outcome, Failed):
            # Beside this thread: the end of the job waits for nobody.
            threading.Thread(target=self._call_hooks, args=(run, outcome), daemon=True).start()
        elif UNSTARTED:
            killed(run, outcome, "")

    def _call_hooks(self, run: Run, outcome: Failed) -> None:
        doom: Doom = "memory" if outcome.failure.type == MemoryLimitExceeded.__name__ else "timeout"
        counts = msgspec.structs.replace(run.delivery.counts, doom=doom)
        after = msgspec.structs.replace(run, delivery=msgspec.structs.replace(run.delivery, counts=counts))
        with contextlib.suppress(OSError):
            self._watched(self._begin(after, Limits(None, HOOK_SECONDS)))

    def interrupt(self, job: str, why: str, number: int = 0) -> bool:
        """Have *job* end if it runs here; tells whether it does. Its limits are kept without being told of."""
        case = self._cases.get(job)
        if case is not None and why == "revoked":
            case.revoke(number)
        return case is not None

    def _begin(self, run: Run, limits: Limits | None) -> Case:
        order = Order(run.delivery, bytes(run.args or b""), *(limits or Limits()))
        while self._idle:
            isolate = self._idle.pop()
            try:
                isolate.begin(order)
            except OSError:  # it was killed while it was idle
                isolate.kill()
            else:
                return Case(run, isolate, limits)
        with self._turn:
            isolate = Isolate(*ask(self._nursery))
        isolate.begin(order)
        return Case(run, isolate, limits)

    def _watched(self, case: Case) -> Outcome | None:
        isolate = case.isolate
        while (parcels := isolate.read(case.pause(time.monotonic()))) is not None:
            for parcel in parcels:
                if isinstance(parcel, End):
                    self._let_go(case)
                    return outcome_in(parcel)
                self._hear(case, parcel)
            case.look(time.monotonic())
            if not case.told and self._desk.revoked(case.run.delivery.id):
                case.told = True
                isolate.signal(REVOKED_SIGNAL)
        isolate.kill()
        return None

    def _hear(self, case: Case, parcel: Parcel) -> None:
        delivery = case.run.delivery
        if isinstance(parcel, Note):
            with contextlib.suppress(LeaseLost):
                self._notes.relay(delivery, parcel.body)
        elif isinstance(parcel, Keep):
            with contextlib.suppress(OSError):  # it is gone: the next look says so
                case.isolate.answer(self._kept(delivery, parcel))

    def _kept(self, delivery: Delivery, parcel: Keep) -> Kept:
        try:
            self._desk.keep(delivery, parcel.envelope)
        except UmbelError as error:
            return Kept(parcel.number, type(error).__name__, str(error))
        return Kept(parcel.number)

    def _let_go(self, case: Case) -> None:
        isolate = case.isolate
        spent = self._max_jobs is not None and isolate.served >= self._max_jobs
        # One that was struck may be struck again, late; what one job leaves in memory, or running when it was told to
        # end, is not the next one's fault.
        if case.why:
            isolate.kill()
        elif spent or case.softly or case.run.task.memory_limit is not None:
            isolate.dismiss()
            with self._farewells:
                self._leaving = [*(each for each in self._leaving if not each.gone(0.0)), isolate]
        else:
            self._idle.append(isolate)
