"""Each protection inside a child is shown to be needed: without it the promise that it keeps is broken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.unit.worker.child.stage import LEASE, QUEUE, Stage, Watchman, threads_of_runners, until
from umbel.contracts.broker import Ended
from umbel.execution.executor import Executor, Finished
from umbel.execution.runners import ThreadRunner
from umbel.model.ids import new_session
from umbel.worker.board import Board
from umbel.worker.child import consumer as module
from umbel.worker.child import quarantine

TURNS = 1000
"""Of the loop, a millisecond each: no time, for all in it stand still together with a machine that does."""
Promise = Callable[[Stage], Awaitable[bool]]


@asynccontextmanager
async def long_job(stage: Stage) -> AsyncGenerator[threading.Event]:
    """A job that runs for the length of the block; the event says that it has begun."""
    started, let_go = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        let_go.wait(60)

    stage.send(stage.task(wait), ())
    try:
        yield started
    finally:
        let_go.set()


async def no_job_waits_behind_a_long_one_while_another_child_is_idle(stage: Stage) -> bool:
    short = stage.task(lambda: None)
    async with stage.child(jobs_are_short=True) as child:
        await child.ready.wait()
        async with long_job(stage) as started:
            jobs = stage.send(short, *[()] * 5)
            await until(started.is_set, "the long one runs")
            async with stage.child() as idle:
                await idle.ready.wait()
                for _ in range(TURNS):
                    if all(stage.state(each) for each in jobs):
                        return True
                    await asyncio.sleep(0.001)
    return False


async def a_suspect_runs_alone(stage: Stage) -> bool:
    gate, let_go, begun = Watchman(), asyncio.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        await let_go.wait()

    beside = stage.task(wait)
    (suspect,) = stage.send(stage.task(lambda: begun.wait(60)), ())
    await stage.charge(suspect, crashes=1)
    first = stage.send(beside, ())
    async with stage.child(gate=gate, threads=2) as child:
        await until(begun.is_set, "the job beside it runs")
        await until(lambda: child.consumer._quarantine or suspect in gate.beside, "the suspect waits, or runs")
        let_go.set()
        await stage.ended(suspect, *first)
    return gate.beside[suspect] == 0 and gate.beside[first[0]] == 0


async def a_child_whose_lease_is_not_trusted_starts_nothing(stage: Stage) -> bool:
    ran, refusals = threading.Event(), list[bool]()
    (job_id,) = stage.send(stage.task(ran.set), ())

    class Looked(Board):
        def trusted(self) -> bool:
            trusted = super().trusted()
            if not trusted:
                refusals.append(trusted)
            return trusted

    board = Looked.create(101)  # trusted by nobody
    async with stage.child(gate=board):
        await until(lambda: stage.state(job_id) or len(refusals) > 5, "it has ended, or its start was refused")
    board.close()
    return not ran.is_set()


async def a_job_that_kills_its_process_is_not_run_for_ever(stage: Stage) -> bool:
    (job_id,) = stage.send(stage.task(lambda: None), ())
    for _ in range(6):
        session = await stage.open()
        (delivery,) = await stage.broker.receive(session, [QUEUE], 1, wait=0)
        executor = Executor(stage.app.tasks, "child@test")
        if isinstance(executor.prepare(delivery, 0.0), Finished):
            return True
        await stage.broker.reclaim([QUEUE], LEASE, [Ended(session, (job_id,))])
    return False


async def a_child_that_is_gone_runs_none_of_what_waited_there(stage: Stage) -> bool:
    ran: list[str] = []
    others = threads_of_runners()  # of a worker that a fixture keeps for the whole session
    short = stage.task(lambda: ran.append(new_session()))
    async with _nothing_handed_back(), stage.child(jobs_are_short=True) as child:
        await child.ready.wait()
        held = stage.space.queue(QUEUE).sessions[child.session].held
        async with long_job(stage) as started:
            stage.send(short, *[()] * 3)
            await until(lambda: started.is_set() and len(held) == 4, "the long one runs, the others wait behind it")
            await stage.broker.reclaim([QUEUE], LEASE, [Ended(child.session)])
            assert child.consuming is not None
            await asyncio.wait((child.consuming,))
        await until(lambda: threads_of_runners() <= others, "its thread has ended")
    return ran == []


@asynccontextmanager
async def _nothing_handed_back() -> AsyncGenerator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HAND_BACK_SECONDS", 3600.0)
        yield


def _trusting(_: Board) -> bool:
    return True


def _only_close(runner: ThreadRunner) -> None:
    for _ in range(runner._threads):
        runner._waiting.put(None)


def _ever_trying(executor: Executor, *what: object, **options: object) -> None:
    _init(executor, *what, **{**options, "max_crashes": 10**9})  # type: ignore[arg-type]


_init = Executor.__init__

SABOTAGE: list[tuple[Promise, object, str, object]] = [
    (no_job_waits_behind_a_long_one_while_another_child_is_idle, module, "HAND_BACK_SECONDS", 3600.0),
    (a_suspect_runs_alone, quarantine, "QUARANTINE_CRASHES", 10**9),
    (a_child_whose_lease_is_not_trusted_starts_nothing, Board, "trusted", _trusting),
    (a_job_that_kills_its_process_is_not_run_for_ever, Executor, "__init__", _ever_trying),
    (a_child_that_is_gone_runs_none_of_what_waited_there, ThreadRunner, "close", _only_close),
]


@pytest.mark.parametrize(
    ("promise", "where", "name", "broken"), SABOTAGE, ids=[promise.__name__ for promise, *_ in SABOTAGE]
)
async def test_a_promise_is_kept_and_broken_without_its_protection(
    promise: Promise, where: object, name: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await promise(Stage())
    monkeypatch.setattr(where, name, broken)
    assert not await promise(Stage())
