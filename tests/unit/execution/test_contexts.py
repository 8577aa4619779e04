"""Each job sees its own request and its own context: in threads, and in coroutines that take turns."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from tests.unit.execution.stage import HOST, Stage
from umbel import current_task
from umbel.log import get_task_logger
from umbel.model.job import Counts
from umbel.model.outcome import Outcome, Succeeded
from umbel.request import running
from umbel.wire.envelope import decode

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def value_of(stage: Stage, task: Any, outcome: Outcome) -> Any:
    assert isinstance(outcome, Succeeded), outcome
    return task.decode_result(outcome.value)


async def test_coroutines_of_one_task_that_take_turns_each_see_their_own_request(stage: Stage) -> None:
    turns = [asyncio.Event(), asyncio.Event()]
    seen: list[tuple[int, str]] = []

    @stage.app.task(bind=True)
    async def talk(self: Any, me: int) -> list[str]:
        ids: list[str] = []
        for _ in range(3):
            await turns[me].wait()
            turns[me].clear()
            ids.append(self.request.id)
            seen.append((me, current_task.request.id))
            turns[1 - me].set()
        return ids

    runs = [stage.prepared(talk, me) for me in (0, 1)]
    jobs = [asyncio.ensure_future(stage.executor.arun(run)) for run in runs]
    turns[0].set()
    outcomes = await asyncio.gather(*jobs)
    assert [me for me, _ in seen] == [0, 1] * 3
    for me, (run, outcome) in enumerate(zip(runs, outcomes, strict=True)):
        assert value_of(stage, talk, outcome) == [run.delivery.id] * 3
        assert {job_id for each, job_id in seen if each == me} == {run.delivery.id}


def test_threads_that_run_one_task_at_a_time_each_see_their_own_request(stage: Stage) -> None:
    meeting = threading.Barrier(2)

    @stage.app.task(bind=True)
    def talk(self: Any) -> list[str]:
        ids: list[str] = []
        for _ in range(3):
            meeting.wait(60)
            ids.append(self.request.id)
        return ids

    runs = [stage.prepared(talk) for _ in range(2)]
    outcomes: dict[str, Outcome] = {}
    threads = [
        threading.Thread(target=lambda run=run: outcomes.update({run.delivery.id: stage.executor.run(run)}))
        for run in runs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        assert value_of(stage, talk, outcomes[run.delivery.id]) == [run.delivery.id] * 3


def test_what_one_job_sets_in_its_context_the_next_in_the_same_thread_does_not_see(stage: Stage) -> None:
    @stage.app.task
    def visit(name: str) -> str:
        before = tenant.get()
        tenant.set(name)
        return before

    for name in ("a", "b"):
        assert value_of(stage, visit, stage.run(visit, name)) == "nobody"
    assert tenant.get() == "nobody"
    assert running.get() is None


async def test_what_one_coroutine_sets_in_its_context_the_next_does_not_see(stage: Stage) -> None:
    @stage.app.task
    async def visit(name: str) -> str:
        before = tenant.get()
        tenant.set(name)
        await asyncio.sleep(0)
        assert tenant.get() == name
        return before

    jobs = [asyncio.create_task(stage.executor.arun(stage.prepared(visit, name))) for name in ("a", "b")]
    assert [value_of(stage, visit, outcome) for outcome in await asyncio.gather(*jobs)] == ["nobody"] * 2
    assert running.get() is None


def test_the_request_tells_of_the_job(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def look(self: Any, x: int, y: int = 0) -> list[Any]:
        asked = self.request
        return [
            asked.id, asked.args, asked.kwargs, asked.retries, asked.crashes, asked.hostname, asked.called_directly,
            asked.is_eager, asked.delivery_info["redelivered"], asked.headers, asked.tenant,
        ]  # fmt: skip

    run = stage.prepared(look, 1, kwargs={"y": 2}, counts=Counts(retries=2, crashes=1), headers={"tenant": "me"})
    assert value_of(stage, look, stage.outcome(run)) == [
        run.delivery.id, [1], {"y": 2}, 2, 1, HOST, False, False, True, {"tenant": "me"}, "me",
    ]  # fmt: skip


def test_a_plain_call_inside_a_job_of_another_task_has_no_job(stage: Stage) -> None:
    @stage.app.task(bind=True)
    def inner(self: Any) -> bool:
        return bool(self.request.called_directly)

    @stage.app.task
    def outer() -> bool:
        return bool(inner())

    assert value_of(stage, outer, stage.run(outer)) is True


def test_a_job_that_is_sent_inside_a_job_knows_its_parent(stage: Stage) -> None:
    @stage.app.task
    def child() -> None:
        pass

    @stage.app.task
    def parent() -> None:
        child.delay()

    run = stage.prepared(parent)
    stage.outcome(run)
    (job,) = stage.sent.jobs
    sent = stage.prepared(child).envelope
    assert (sent.parent_id, sent.root_id) == (None, None)
    described = decode(job.envelope)
    assert (described.parent_id, described.root_id) == (run.delivery.id, run.delivery.id)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
async def test_log_records_name_the_job_in_threads_and_coroutines_that_take_turns(
    stage: Stage, caplog: pytest.LogCaptureFixture, asynchronous: bool
) -> None:
    logger = get_task_logger("tests.contexts")
    meeting = threading.Barrier(2)

    def talk(me: int) -> None:
        if not asynchronous:
            meeting.wait(60)
        logger.warning("I am %d", me)

    task = stage.task(talk, asynchronous=asynchronous)
    runs = [stage.prepared(task, me) for me in (0, 1)]
    with caplog.at_level(logging.WARNING):
        if asynchronous:
            await asyncio.gather(*(stage.executor.arun(run) for run in runs))
        else:
            await asyncio.gather(*(asyncio.to_thread(stage.executor.run, run) for run in runs))
    found = {record.getMessage(): vars(record) for record in caplog.records}
    for me, run in enumerate(runs):
        fields = found[f"I am {me}"]
        assert (fields["task_id"], fields["task_name"]) == (run.delivery.id, "talk")
        assert (fields["queue"], fields["attempt"]) == ("default", 1)
