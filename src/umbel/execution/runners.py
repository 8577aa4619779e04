"""Runners: where a run is called. `ThreadRunner` for `def` tasks, `LoopRunner` for `async def` tasks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from umbel.exceptions import SoftTimeLimitExceeded, Terminated
from umbel.execution.executor import Executor, Run
from umbel.execution.interruption import LoopWindow, ThreadWindow, Why, meant, struck
from umbel.execution.limits import Limits
from umbel.model.outcome import Outcome, Released, Revoked
from umbel.to_end import belongs_to, to_end

Done = Callable[[Run, Outcome], None]
"""Called in the loop's thread with each run and its outcome."""


class _Forks:
    """How often the process was forked until it became this one."""

    def __init__(self) -> None:
        self.count = 0

    def one_more(self) -> None:
        self.count += 1


_forks: Final = _Forks()
os.register_at_fork(after_in_child=_forks.one_more)


class Gate(Protocol):
    """Asked before user code is called, told after it: the board of the child. Cheap; called from many threads."""

    def trusted(self) -> bool:
        """Tell whether the lease is still trusted, so that a job may start."""
        ...

    def take(self, job_id: str, task: str, limits: Limits | None = None, *, isolated: bool = False) -> int:
        """Note that the job starts now, and when it is to end; answers its slot. Returns before user code is called."""
        ...

    def give(self, slot: int) -> None:
        """Note that the job in *slot* has its outcome."""
        ...


class Isolator(Protocol):
    """Where runs have processes of their own."""

    def run(self, run: Run, limits: Limits | None) -> Outcome:
        """The outcome of *run*, in a process that is ended if it goes beyond *limits*; waits for it."""
        ...

    def interrupt(self, job: str, why: str, number: int = 0) -> bool:
        """Have *job* end if it runs here, by signal *number*; tells whether it does."""
        ...


class ThreadRunner:
    """Runs `def` tasks in *threads* threads; what is submitted beyond that waits here and can be taken back.

    A run in a process of its own takes a thread as well, which waits for it.
    """

    def __init__(self, executor: Executor, gate: Gate, threads: int, done: Done) -> None:
        """Start nothing yet: threads start with the first run, in the loop that submits it."""
        self._executor = executor
        self._gate = gate
        self._threads = threads
        self._done = done
        self._waiting: SimpleQueue[Run | None] = SimpleQueue()
        self._finished: deque[tuple[Run, Outcome]] = deque()
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._windows: list[ThreadWindow] = []
        self._forks = _forks.count
        self.isolator: Isolator | None = None
        """Runs tasks whose runner is "process"; None: they run in the threads, too."""

    def interrupt(self, job: str, why: Why, number: int = 0) -> bool:
        """Interrupt the run of *job*; tells whether it has begun here. Call it in the loop's thread."""
        if self.isolator is not None and self.isolator.interrupt(job, why, number):
            return True
        return any(window.interrupt(job, why) for window in self._windows)

    def submit(self, run: Run) -> None:
        """Run it as soon as a thread is free, in the order of submission."""
        if self._loop is None:
            self._start(asyncio.get_running_loop())
        self._waiting.put(run)

    def take_back(self) -> list[Run]:
        """The runs that no thread has begun, in order; they will not be run here."""
        taken: list[Run] = []
        while True:
            try:
                run = self._waiting.get_nowait()
            except Empty:
                return taken
            if run is not None:
                taken.append(run)

    def close(self) -> None:
        """Let the threads end after what they run now; what waits is not run."""
        self.take_back()
        for _ in range(self._threads):
            self._waiting.put(None)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        for number in range(self._threads):
            threading.Thread(target=self._work, args=(loop,), name=f"umbel-{number}", daemon=True).start()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        belongs_to(loop)
        window = ThreadWindow()
        self._windows.append(window)
        while (run := self._waiting.get()) is not None:
            self._finished.append((run, self._call(run, window)))
            # One wake-up of the loop for all runs that finish before it looks.
            if not self._scheduled:
                self._scheduled = True
                try:
                    loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the loop was closed: the child is ending and the broker keeps the job
                    return

    def _call(self, run: Run, window: ThreadWindow) -> Outcome:
        job = run.delivery.id
        if not self._gate.trusted():
            return Released()
        if self._executor.withdrawn and job in self._executor.withdrawn:
            return Revoked("revoked")
        limits = self._executor.terms.of(run.envelope, run.task) if run.ending is None else None
        if run.task.runner == "process":
            return self._apart(run, limits)
        slot = self._gate.take(job, run.task.name, limits)
        try:
            window.begin(job, limits)
            outcome = self._executor.run(run, window)
        except (SoftTimeLimitExceeded, Terminated) as error:  # the second one, while the first one was dealt with
            outcome = struck(meant(window, error))
        finally:
            if _forks.count != self._forks:
                os._exit(0)  # a copy of this process that the task has forked: the job is not its
            self._gate.give(slot)
        return outcome

    def _apart(self, run: Run, limits: Limits | None) -> Outcome:
        """The outcome of a run that has a process of its own, where there may be one."""
        job, name, isolator = run.delivery.id, run.task.name, self.isolator
        slot = self._gate.take(job, name) if isolator is None else self._gate.take(job, name, limits, isolated=True)
        try:
            if isolator is not None:
                return isolator.run(run, limits)
            return to_end(self._executor.arun(run)) if run.task.is_async else self._executor.run(run)
        finally:
            if _forks.count != self._forks:
                os._exit(0)  # as above
            self._gate.give(slot)

    def _deliver(self) -> None:
        # Cleared first: a run that finishes while we look schedules us again.
        self._scheduled = False
        while self._finished:
            self._done(*self._finished.popleft())


class LoopRunner:
    """Runs `async def` tasks in the event loop, each in an asyncio task of its own, at most *slots* at a time."""

    def __init__(self, executor: Executor, gate: Gate, slots: int, done: Done) -> None:
        """Start nothing yet."""
        self._executor = executor
        self._gate = gate
        self._slots = slots
        self._done = done
        self._running = 0
        self._windows: dict[asyncio.Task[None], LoopWindow] = {}
        self._forks = _forks.count
        self._waiting: deque[Run] = deque()

    def interrupt(self, job: str, why: Why) -> bool:
        """Interrupt the run of *job*; tells whether it has begun here."""
        return any(window.interrupt(job, why) for window in self._windows.values())

    def submit(self, run: Run) -> None:
        """Start it in the next round of the loop, or as soon as a slot is free, in the order of submission."""
        if self._running >= self._slots:
            self._waiting.append(run)
            return
        self._running += 1
        window = LoopWindow(run.delivery.id)
        window.task = task = asyncio.get_running_loop().create_task(self._work(run, window))
        self._windows[task] = window
        task.add_done_callback(self._windows.__delitem__)

    def take_back(self) -> list[Run]:
        """The runs that wait for a slot, in order; they will not be run here."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    async def _work(self, run: Run, window: LoopWindow) -> None:
        outcome: Outcome = Released()
        if self._executor.withdrawn and window.job in self._executor.withdrawn:
            outcome = Revoked("revoked")
        elif self._gate.trusted():
            limits = self._executor.terms.of(run.envelope, run.task) if run.ending is None else None
            slot = self._gate.take(window.job, run.task.name, limits)
            try:
                if limits is not None:
                    window.soft, window.hard = limits
                outcome = await self._executor.arun(run, window)
            finally:
                if _forks.count != self._forks:
                    os._exit(0)  # as above
                self._gate.give(slot)
        self._running -= 1
        if self._waiting:
            self.submit(self._waiting.popleft())
        self._done(run, outcome)
