"""Where runs are called: in threads and in the loop, never before the gate has opened, in their order."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.unit.execution.stage import Stage
from tests.unit.worker.child.stage import Watchman, threads_of_runners, until
from umbel.execution.executor import Run
from umbel.execution.runners import LoopRunner, ThreadRunner
from umbel.model.outcome import Outcome, Released, Succeeded

Done = list[tuple[Run, Outcome]]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def done() -> Done:
    return []


def heard(done: Done) -> Any:
    return lambda run, outcome: done.append((run, outcome))


async def test_jobs_of_one_thread_run_in_the_order_of_submission(stage: Stage, done: Done) -> None:
    order: list[int] = []
    runner = ThreadRunner(stage.executor, Watchman(), 1, heard(done))
    task = stage.app.task(name="note")(order.append)
    runs = [stage.prepared(task, number) for number in range(50)]
    for run in runs:
        runner.submit(run)
    await until(lambda: len(done) == 50, "all have run")
    assert order == list(range(50))
    assert [run for run, _ in done] == runs
    runner.close()


async def test_outcomes_are_told_in_the_thread_of_the_loop(stage: Stage) -> None:
    told: list[int] = []
    ran: list[int] = []

    def where() -> None:
        ran.append(threading.get_ident())

    runner = ThreadRunner(stage.executor, Watchman(), 1, lambda *_: told.append(threading.get_ident()))
    runner.submit(stage.prepared(stage.app.task(name="where")(where)))
    await until(lambda: told, "it was told")
    assert told == [threading.get_ident()]
    assert ran != told
    runner.close()


async def test_as_many_jobs_run_at_a_time_as_there_are_threads(stage: Stage, done: Done) -> None:
    meeting = threading.Barrier(3)
    gate = Watchman()
    runner = ThreadRunner(stage.executor, gate, 3, heard(done))
    task = stage.app.task(name="meet")(lambda: meeting.wait(60) >= 0)
    for _ in range(9):
        runner.submit(stage.prepared(task))
    await until(lambda: len(done) == 9, "all have met")
    assert all(isinstance(outcome, Succeeded) for _, outcome in done)
    assert gate.most == 3
    runner.close()


async def test_what_no_thread_has_begun_can_be_taken_back_in_its_order(stage: Stage, done: Done) -> None:
    goes_on, started = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        goes_on.wait(60)

    task = stage.app.task(name="wait")(wait)
    runner = ThreadRunner(stage.executor, Watchman(), 1, heard(done))
    runs = [stage.prepared(task) for _ in range(5)]
    for run in runs:
        runner.submit(run)
    await until(started.is_set, "the first has begun")
    assert runner.take_back() == runs[1:]
    assert runner.take_back() == []
    goes_on.set()
    await until(lambda: done, "the first has ended")
    assert [run for run, _ in done] == runs[:1]
    runner.close()


async def test_a_runner_that_is_closed_finishes_what_runs_and_starts_nothing_more(stage: Stage, done: Done) -> None:
    goes_on, started = threading.Event(), threading.Event()
    ran: list[int] = []

    def wait(number: int) -> None:
        started.set()
        goes_on.wait(60)
        ran.append(number)

    others = threads_of_runners()  # of a worker that a fixture keeps for the whole session
    task = stage.app.task(name="wait")(wait)
    runner = ThreadRunner(stage.executor, Watchman(), 1, heard(done))
    for number in range(3):
        runner.submit(stage.prepared(task, number))
    await until(started.is_set, "the first has begun")
    runner.close()
    goes_on.set()
    await until(lambda: threads_of_runners() <= others, "the thread has ended")
    await until(lambda: done, "the first was told")
    assert ran == [0]


async def test_without_trust_no_user_code_is_called(stage: Stage, done: Done) -> None:
    ran: list[str] = []

    def there() -> None:
        ran.append("def")

    async def here() -> None:
        ran.append("async def")

    gate = Watchman()
    gate.open = False
    threads, loop = ThreadRunner(stage.executor, gate, 1, heard(done)), LoopRunner(stage.executor, gate, 1, heard(done))
    threads.submit(stage.prepared(stage.app.task(name="there")(there)))
    loop.submit(stage.prepared(stage.app.task(name="here")(here)))
    await until(lambda: len(done) == 2, "both came back")
    assert [outcome for _, outcome in done] == [Released(), Released()]
    assert ran == []
    assert gate.most == 0
    threads.close()


async def test_a_job_is_on_the_board_for_exactly_as_long_as_user_code_may_run(stage: Stage, done: Done) -> None:
    gate, seen = Watchman(), []

    def look() -> None:
        seen.append(list(gate.running.values()))

    async def alook() -> None:
        look()

    threads, loop = ThreadRunner(stage.executor, gate, 1, heard(done)), LoopRunner(stage.executor, gate, 1, heard(done))
    for runner, task in ((threads, stage.app.task(name="look")(look)), (loop, stage.app.task(name="alook")(alook))):
        done.clear()
        run = stage.prepared(task)
        runner.submit(run)
        await until(lambda: done, "it has ended")
        assert seen.pop() == [run.delivery.id]
        assert gate.running == {}
    threads.close()


async def test_the_loop_runs_no_more_jobs_at_a_time_than_it_has_slots(stage: Stage, done: Done) -> None:
    goes_on, order = asyncio.Event(), []

    async def wait(number: int) -> None:
        order.append(number)
        await goes_on.wait()

    gate = Watchman()
    runner = LoopRunner(stage.executor, gate, 3, heard(done))
    task = stage.app.task(name="wait")(wait)
    for number in range(10):
        runner.submit(stage.prepared(task, number))
    await until(lambda: len(gate.running) == 3, "three run")
    goes_on.set()
    await until(lambda: len(done) == 10, "all have run")
    assert gate.most == 3
    assert order == list(range(10))


async def test_what_waits_for_a_slot_of_the_loop_can_be_taken_back_in_its_order(stage: Stage, done: Done) -> None:
    goes_on = asyncio.Event()

    async def wait() -> None:
        await goes_on.wait()

    gate = Watchman()
    runner = LoopRunner(stage.executor, gate, 2, heard(done))
    runs = [stage.prepared(stage.app.task(name="wait")(wait)) for _ in range(1)]
    runs += [stage.prepared(runs[0].task) for _ in range(4)]
    for run in runs:
        runner.submit(run)
    await until(lambda: len(gate.running) == 2, "two run")
    assert runner.take_back() == runs[2:]
    goes_on.set()
    await until(lambda: len(done) == 2, "two have ended")
    assert {run.delivery.id for run, _ in done} == {run.delivery.id for run in runs[:2]}
