"""How runs are interrupted: what strikes whom, and what never does."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.execution.stage import Stage
from umbel.exceptions import SoftTimeLimitExceeded, Terminated
from umbel.execution import interruption
from umbel.execution.executor import Run
from umbel.execution.interruption import LoopWindow, ThreadWindow, Why
from umbel.model.outcome import Failed, Outcome, Revoked, Succeeded

PATIENCE_SECONDS = 30.0


@pytest.fixture
def stage() -> Stage:
    return Stage()


def spin(seconds: float = PATIENCE_SECONDS) -> str:
    """Compute until the time is over, as code does that never waits."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "over"


class InThread:
    """One run in a thread of its own, with its window."""

    def __init__(self, stage: Stage, run: Run, soft: float | None = None, hard: float | None = None) -> None:
        self._started = threading.Event()
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._work, args=(stage, run, soft, hard))
        self._thread.start()
        assert self._started.wait(PATIENCE_SECONDS)

    def _work(self, stage: Stage, run: Run, soft: float | None, hard: float | None) -> None:
        self.window = ThreadWindow()
        self.window.begin(run.delivery.id)
        self.window.soft, self.window.hard = soft, hard
        self._started.set()
        self.outcome = stage.executor.run(run, self.window)

    def struck(self, job: str, why: Why, reached: threading.Event | None = None) -> Outcome:
        """The outcome after it was interrupted; not before it has *reached* the place where it expects that."""
        assert reached is None or reached.wait(PATIENCE_SECONDS)
        assert self.window.interrupt(job, why)
        self._thread.join(PATIENCE_SECONDS)
        assert self.outcome is not None
        return self.outcome


def in_loop(stage: Stage, run: Run, why: Why, soft: float | None = None, hard: float | None = None) -> Outcome:
    """The outcome of *run* after it was interrupted in the loop while it waited."""

    async def main() -> Outcome:
        window = LoopWindow(run.delivery.id)
        window.soft, window.hard = soft, hard
        window.task = asyncio.create_task(stage.executor.arun(run, window))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert window.interrupt(run.delivery.id, why)
        assert not window.interrupt("another", why)
        outcome: Outcome = await window.task
        assert not window.task.cancelling()
        return outcome

    return asyncio.run(main())


def prepared(stage: Stage, body: Callable[..., Any], **options: Any) -> Run:
    """One run of a task with *body*."""
    return stage.prepared(stage.app.task(name="t", typing=False, **options)(body))


def failure(outcome: Outcome) -> tuple[str, str]:
    assert isinstance(outcome, Failed)
    return outcome.failure.type, outcome.failure.message


# --- in a thread


def test_a_soft_limit_ends_a_loop_in_a_thread(stage: Stage) -> None:
    run = prepared(stage, spin, retry_backoff=True)
    outcome = InThread(stage, run, soft=2.5).struck(run.delivery.id, "soft")
    assert failure(outcome) == ("SoftTimeLimitExceeded", "the soft time limit of 2.5 s has passed")


def test_a_soft_limit_may_be_caught(stage: Stage) -> None:
    trying = threading.Event()

    def careful() -> str:
        try:
            trying.set()
            return spin()
        except SoftTimeLimitExceeded:
            return "cleaned up"

    run = prepared(stage, careful)
    outcome = InThread(stage, run, soft=1.0).struck(run.delivery.id, "soft", trying)
    assert isinstance(outcome, Succeeded)


def test_a_hard_limit_is_the_end_whatever_the_task_makes_of_it(stage: Stage) -> None:
    trying = threading.Event()

    def stubborn() -> str:
        try:
            trying.set()
            return spin()
        except BaseException:  # noqa: BLE001 - as careless code does
            return "not me"

    run = prepared(stage, stubborn, autoretry_for=(Exception,))
    outcome = InThread(stage, run, hard=3.0).struck(run.delivery.id, "timeout", trying)
    assert failure(outcome) == ("TimeLimitExceeded", "the time limit of 3 s has passed")


def test_a_run_that_is_revoked_ends_as_such(stage: Stage) -> None:
    run = prepared(stage, spin)
    assert InThread(stage, run).struck(run.delivery.id, "revoked") == Revoked("terminated")


def test_a_run_is_interrupted_even_before_its_code_begins(stage: Stage) -> None:
    window = ThreadWindow()
    run = prepared(stage, spin)
    window.begin(run.delivery.id)
    window.interrupt(run.delivery.id, "revoked")
    assert stage.executor.run(run, window) == Revoked("terminated")


class CarelessWindow(ThreadWindow):
    """Does not look whether anything is on its way when it is shut."""

    def close(self) -> Why:
        """Shut."""
        self._open = False
        return self.why


class Target:
    """A thread that has one run of no length after the other for *seconds*."""

    def __init__(self, seconds: float) -> None:
        self.stray: BaseException | None = None
        self.struck = 0
        self.over = threading.Event()
        self._seconds = seconds
        self._ready = threading.Event()
        threading.Thread(target=self._work).start()
        assert self._ready.wait(PATIENCE_SECONDS)

    def _work(self) -> None:
        self.window = ThreadWindow()
        self._ready.set()
        until = time.monotonic() + self._seconds
        try:
            for number in itertools.count(1):
                if time.monotonic() > until and self.struck:
                    break
                self._run(str(number))
        except Terminated as error:
            self.stray = error
        finally:
            self.over.set()

    def _run(self, job: str) -> None:
        self.window.begin(job)
        try:
            self.window.open()
            sum(range(20))
            self.window.close()
        except Terminated:
            self.window.close()
        self.struck += self.window.why == "revoked"


def test_no_strike_of_many_hits_what_is_between_two_runs() -> None:
    target = Target(0.3)
    while not target.over.is_set():
        target.window.interrupt(target.window.job, "revoked")
    assert target.stray is None
    assert target.struck


@pytest.mark.parametrize(("kind", "hit"), [(ThreadWindow, False), (CarelessWindow, True)])
def test_a_strike_that_comes_when_the_window_has_just_been_shut_hits_nobody_unless_it_does_not_look(
    monkeypatch: pytest.MonkeyPatch, kind: type[ThreadWindow], hit: bool
) -> None:
    striking, struck = threading.Event(), threading.Event()
    hits: list[BaseException] = []
    real = interruption._raise_in
    window: list[ThreadWindow] = []

    def late(thread: int, error: type[BaseException]) -> None:
        striking.set()
        while issubclass(error, Terminated) and window[0]._open:
            time.sleep(0.001)
        real(thread, error)

    def target() -> None:
        window.append(kind())
        window[0].begin("job")
        window[0].open()
        try:
            striking.wait(PATIENCE_SECONDS)
            window[0].close()
            struck.wait(PATIENCE_SECONDS)
            spin(0.01)
        except Terminated as error:
            hits.append(error)

    monkeypatch.setattr(interruption, "_raise_in", late)
    thread = threading.Thread(target=target)
    thread.start()
    while not (window and window[0]._open):
        time.sleep(0.001)
    window[0].interrupt("job", "revoked")
    struck.set()
    thread.join(PATIENCE_SECONDS)
    assert bool(hits) == hit


# --- in the loop


async def wait() -> str:
    """Wait, as coroutines do."""
    await asyncio.sleep(PATIENCE_SECONDS)
    return "over"


def test_a_soft_limit_is_raised_where_a_coroutine_waits(stage: Stage) -> None:
    seen: list[BaseException] = []

    async def careful() -> None:
        try:
            await wait()
        except SoftTimeLimitExceeded as error:
            seen.append(error)
            raise

    outcome = in_loop(stage, prepared(stage, careful), "soft", soft=1.5)
    assert failure(outcome) == ("SoftTimeLimitExceeded", "the soft time limit of 1.5 s has passed")
    assert [str(error) for error in seen] == ["the soft time limit of 1.5 s has passed"]


def test_a_coroutine_that_catches_its_soft_limit_may_go_on_to_wait(stage: Stage) -> None:
    async def careful() -> str:
        try:
            await wait()
        except SoftTimeLimitExceeded:
            async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await wait()
        return "cleaned up"

    assert isinstance(in_loop(stage, prepared(stage, careful), "soft", soft=1.0), Succeeded)


def test_a_task_group_ends_its_tasks_at_the_soft_limit(stage: Stage) -> None:
    ended: list[str] = []

    async def member() -> None:
        try:
            await wait()
        finally:
            ended.append("member")

    async def grouped() -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
                group.create_task(member())
                group.create_task(member())
        except SoftTimeLimitExceeded:
            ended.append("group")
            raise

    outcome = in_loop(stage, prepared(stage, grouped), "soft", soft=1.0)
    assert failure(outcome)[0] == "SoftTimeLimitExceeded"
    assert ended == ["member", "member", "group"]


def test_a_soft_limit_reaches_a_coroutine_through_one_that_swallows_cancellations(stage: Stage) -> None:
    async def deaf() -> None:
        try:
            await wait()
        except asyncio.CancelledError:
            return

    async def caller() -> None:
        await asyncio.create_task(deaf())
        await asyncio.sleep(0)

    outcome = in_loop(stage, prepared(stage, caller), "soft", soft=1.0)
    assert failure(outcome)[0] == "SoftTimeLimitExceeded"


@pytest.mark.parametrize("soft", [None, 1.0])
def test_a_coroutine_that_is_revoked_is_cancelled_and_ends_as_such(stage: Stage, soft: float | None) -> None:
    seen: list[type[BaseException]] = []

    async def cleaning() -> str:
        try:
            await wait()
        except asyncio.CancelledError as error:
            seen.append(type(error))
        return "not me"

    assert in_loop(stage, prepared(stage, cleaning), "revoked", soft=soft) == Revoked("terminated")
    assert seen == [asyncio.CancelledError]


def test_a_coroutine_at_its_hard_limit_is_a_failure_and_its_hooks_run_undisturbed(stage: Stage) -> None:
    told: list[str] = []

    async def on_failure(task: object, error: BaseException, *_: object) -> None:
        del task
        await asyncio.sleep(0)
        told.append(str(error))

    run = prepared(stage, wait, on_failure=on_failure, autoretry_for=(Exception,))
    outcome = in_loop(stage, run, "timeout", hard=4.0)
    assert failure(outcome) == ("TimeLimitExceeded", "the time limit of 4 s has passed")
    assert told == ["the time limit of 4 s has passed"]


PROFILED = """
import sys
from umbel.execution.interruption import ThreadWindow

window = ThreadWindow()
window.begin("job")
assert window.interrupt("job", "soft")
window.close()

def step():
    return "on"

sys.setprofile(lambda *_: None)
print(step())
sys.setprofile(None)
"""


def test_an_interruption_that_came_too_late_leaves_nothing_that_a_profiler_stumbles_over() -> None:
    ran = subprocess.run([sys.executable, "-c", PROFILED], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "on\n"
