"""Virtual time: the jobs of an app run in the test's own thread, when it moves the clock, without any sleep."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Generator
from datetime import UTC, datetime

from umbel.app.app import Umbel
from umbel.engines.memory import Space
from umbel.stores.memory import MemoryStore
from umbel.testing.capturing import Captured
from umbel.testing.durations import Duration, seconds_of
from umbel.testing.placing import placed
from umbel.testing.recorder import Recorder
from umbel.testing.stepping import Stepper
from umbel.testing.timing import timed_by

MAX_EVENTS = 100_000
"""So many moments of one `drain` or one wait must bring the end, or it never comes: a task that sends itself again."""


class VirtualClock:
    """The time of an app under `virtual`. It moves by `advance` and `drain`, and while a result is awaited."""

    def __init__(self, start: float) -> None:
        self._now = start
        self._lock = threading.RLock()
        self._stepper: Stepper | None = None
        self._captured: Captured | None = None

    def __call__(self) -> float:
        """The unix time that it shows."""
        return self._now

    @property
    def now(self) -> datetime:
        """The time that it shows, in UTC."""
        return datetime.fromtimestamp(self._now, UTC)

    @property
    def sent(self) -> Captured:
        """What was sent up to now, by whomever: the test, tasks, flows and schedules."""
        assert self._captured is not None
        return self._captured

    def attach(self, stepper: Stepper, captured: Captured) -> None:
        """Run jobs with *stepper*."""
        self._stepper, self._captured = stepper, captured

    def run(self) -> int:
        """Run what is ready, and what that sends, without moving; answers how many jobs it were."""
        with self._lock:
            return self._worker.run(self._now)

    def advance(self, duration: Duration) -> int:
        """Move by *duration* ("1h30m", seconds or a timedelta), running each job and tick at its moment, in order.

        Answers how many jobs were run.
        """
        with self._lock:
            return self._pass(self._now + seconds_of(duration))

    def drain(self) -> int:
        """Run everything, moving to what is due later, until no job is left; schedules tick on the way.

        Raises the error of the first job that failed for good since the last time.
        """
        with self._lock:
            ran = self.run()
            for _ in range(MAX_EVENTS):
                due = self._worker.due(self._now)
                if due is None:
                    break
                ran += self._pass(due)
            else:
                raise RuntimeError(f"after {MAX_EVENTS} moments there are still jobs: does a task send itself again?")
            self._worker.raise_first()
            return ran

    async def aadvance(self, duration: Duration) -> int:
        """The same as `advance` for a test that is a coroutine: tasks may run loops of their own."""
        return await asyncio.to_thread(self.advance, duration)

    async def adrain(self) -> int:
        """The same as `drain` for a test that is a coroutine."""
        return await asyncio.to_thread(self.drain)

    def until(self, store: MemoryStore, job_id: str, timeout: float | None) -> bytes | None:
        """The record of *job_id*, for which the clock moves on, by up to *timeout* seconds."""
        with self._lock:
            end = None if timeout is None else self._now + timeout
            self.run()
            for _ in range(MAX_EVENTS):
                found = store.fetch(job_id, None)
                if found is not None:
                    return found
                at = self._worker.next(self._now)
                if at is None or (end is not None and at > end):
                    break
                self._move(at)
            if end is None:
                raise RuntimeError(f"nothing that is to come will end the job {job_id}")
            self._move(end)
            return store.fetch(job_id, None)

    @property
    def _worker(self) -> Stepper:
        assert self._stepper is not None
        return self._stepper

    def _pass(self, end: float) -> int:
        ran = self.run()
        while (at := self._worker.next(self._now)) is not None and at <= end:
            ran += self._move(at)
        return ran + self._move(end)

    def _move(self, to: float) -> int:
        self._now = max(self._now, to)
        return self.run()


class VirtualStore(MemoryStore):
    """Results; who waits for one has the clock move on instead."""

    def __init__(self, space: Space, clock: VirtualClock) -> None:
        super().__init__(space, clock)
        self._virtual = clock

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:  # noqa: ARG002 - in memory there is one place
        """Run what is to come, up to *timeout* seconds of virtual time; see `ResultStore.watch`."""
        return self._virtual.until(self, job_id, timeout)

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """The async twin of `watch`."""
        return await asyncio.to_thread(self.watch, job_id, queue, timeout)


@contextlib.contextmanager
def virtual(app: Umbel, *, start: datetime | None = None, seed: int = 0) -> Generator[VirtualClock]:
    """Keep the jobs of *app* in memory for this block, and run them in this thread when the clock is moved.

    *start* is the time at first, now if it is left out; *seed* decides the jitter of retries, so that a test that
    passes once passes always. One such block at a time in a process.
    """
    space = Space()
    clock = VirtualClock(float(int(time.time())) if start is None else start.timestamp())
    recorder = Recorder(space, clock, app.tasks)
    with placed(app, recorder, VirtualStore(space, clock)), timed_by(clock, seed):
        clock.attach(Stepper(app, recorder), Captured(app, recorder))
        yield clock
