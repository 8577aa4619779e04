"""The hooks of a task: which are called, in which order, with what; and that their errors harm nothing but the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.unit.execution.stage import Stage
from umbel import Task, current_task
from umbel.exceptions import Ignore, Reject, Retry
from umbel.execution.hooks import ExceptionInfo
from umbel.model.outcome import Failed, Outcome, Retried, Succeeded

Calls = list[tuple[str, tuple[Any, ...]]]
HOOKS = ("before_start", "on_success", "on_retry", "on_failure", "after_return")
calls: Calls = []
wrong: dict[str, BaseException] = {}


class Odd(Exception):
    pass


def heard(name: str, *what: Any) -> None:
    calls.append((name, what))
    if name in wrong:
        raise wrong[name]


def unsendable() -> object:
    return object()


class Hooked(Task[..., Any]):
    """Notes every call of a hook."""

    def before_start(self, *what: Any, **_: Any) -> None:
        heard("before_start", *what)

    def on_success(self, *what: Any, **_: Any) -> None:
        heard("on_success", *what)

    def on_retry(self, *what: Any, **_: Any) -> None:
        heard("on_retry", *what)

    def on_failure(self, *what: Any, **_: Any) -> None:
        heard("on_failure", *what)

    def after_return(self, *what: Any, **_: Any) -> None:
        heard("after_return", *what)


class HookedAsync(Task[..., Any]):
    """The same with coroutines."""

    async def before_start(self, *what: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        heard("before_start", *what)

    async def on_success(self, *what: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        heard("on_success", *what)

    async def on_retry(self, *what: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        heard("on_retry", *what)

    async def on_failure(self, *what: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        heard("on_failure", *what)

    async def after_return(self, *what: Any, **_: Any) -> None:
        await asyncio.sleep(0)
        heard("after_return", *what)


pytestmark = [
    pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async"]),
    pytest.mark.parametrize("base", [Hooked, HookedAsync], ids=["def hooks", "async hooks"]),
]


@pytest.fixture(autouse=True)
def _nothing_yet() -> None:
    calls.clear()
    wrong.clear()


def run(asynchronous: bool, base: type[Task[..., Any]], error: BaseException | None = None) -> tuple[str, Outcome]:
    """The id and the outcome of one job that raises *error*, or returns its argument."""

    def body(x: int) -> int:
        heard("body", x)
        if error is not None:
            raise error
        return x

    stage = Stage()
    prepared = stage.prepared(stage.task(body, asynchronous=asynchronous, base=base), 7)
    return prepared.delivery.id, stage.outcome(prepared)


def names() -> list[str]:
    return [name for name, _ in calls]


def test_a_success_calls_before_start_the_body_on_success_and_after_return(
    asynchronous: bool, base: type[Task[..., Any]]
) -> None:
    job_id, outcome = run(asynchronous, base)
    assert isinstance(outcome, Succeeded)
    assert calls == [
        ("before_start", (job_id, [7], {})),
        ("body", (7,)),
        ("on_success", (7, job_id, [7], {})),
        ("after_return", ("SUCCESS", 7, job_id, [7], {}, None)),
    ]


def test_a_failure_calls_on_failure_and_after_return_with_all_about_the_error(
    asynchronous: bool, base: type[Task[..., Any]]
) -> None:
    error = Odd("why")
    job_id, outcome = run(asynchronous, base, error)
    assert isinstance(outcome, Failed)
    assert names() == ["before_start", "body", "on_failure", "after_return"]
    (_, (exc, *where, einfo)), (_, (status, retval, *more)) = calls[2:]
    assert (exc, where) == (error, [job_id, [7], {}])
    assert isinstance(einfo, ExceptionInfo)
    assert (einfo.exception, einfo.type, einfo.exc_info[1]) == (error, Odd, error)
    assert "in body" in einfo.traceback == str(einfo)
    assert (status, retval, more) == ("FAILURE", error, [job_id, [7], {}, einfo])


def test_a_retry_calls_on_retry_with_its_cause_and_nothing_after_it(
    asynchronous: bool, base: type[Task[..., Any]]
) -> None:
    cause = Odd("why")
    job_id, outcome = run(asynchronous, base, Retry(exc=cause, when=1))
    assert isinstance(outcome, Retried)
    assert names() == ["before_start", "body", "on_retry"]
    exc, *where, einfo = calls[2][1]
    assert (exc, where, einfo.exception) == (cause, [job_id, [7], {}], cause)


@pytest.mark.parametrize("error", [Ignore(), Reject("busy", requeue=True)])
def test_a_job_that_is_ignored_or_goes_back_calls_no_hook(
    asynchronous: bool, base: type[Task[..., Any]], error: Exception
) -> None:
    run(asynchronous, base, error)
    assert names() == ["before_start", "body"]


def test_a_result_that_cannot_travel_is_a_failure_for_the_hooks_as_well(
    asynchronous: bool, base: type[Task[..., Any]]
) -> None:
    stage = Stage()
    stage.run(stage.task(unsendable, asynchronous=asynchronous, base=base))
    assert names() == ["before_start", "on_failure", "after_return"]


def test_an_error_in_before_start_fails_the_job_and_the_body_is_not_run(
    asynchronous: bool, base: type[Task[..., Any]]
) -> None:
    wrong["before_start"] = Odd("not today")
    _, outcome = run(asynchronous, base)
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "not today"
    assert names() == ["before_start", "on_failure", "after_return"]


@pytest.mark.parametrize("error", [Odd("in the hook"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
@pytest.mark.parametrize(
    "case",
    [
        ("on_success", None, Succeeded),
        ("after_return", None, Succeeded),
        ("on_failure", Odd(), Failed),
        ("after_return", Odd(), Failed),
        ("on_retry", Retry(when=1), Retried),
    ],
    ids=["on_success", "after_return of a success", "on_failure", "after_return of a failure", "on_retry"],
)
def test_an_error_in_another_hook_is_logged_and_changes_nothing(
    asynchronous: bool,
    base: type[Task[..., Any]],
    case: tuple[str, Exception | None, type],
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook, raised, kind = case
    wrong[hook] = error
    with caplog.at_level(logging.ERROR, "umbel.worker"):
        job_id, outcome = run(asynchronous, base, raised)
    assert isinstance(outcome, kind)
    if hook in ("on_success", "on_failure"):
        assert names()[-1] == "after_return"
    (line,) = [entry for entry in caplog.records if entry.name == "umbel.worker"]
    assert line.getMessage() == f"{hook} of task body[{job_id}] failed"
    assert line.exc_info is not None
    assert line.exc_info[1] is error


def test_hooks_see_the_request_of_their_job(asynchronous: bool, base: type[Task[..., Any]]) -> None:
    seen: list[str] = []

    class Looking(base):  # type: ignore[misc, valid-type]
        def after_return(self, *what: Any, **_: Any) -> None:
            seen.append(current_task.request.id)

    job_id, _ = run(asynchronous, Looking)
    assert seen == [job_id]


async def test_the_end_of_a_child_is_no_failure_of_what_runs_there(
    asynchronous: bool, base: type[Task[..., Any]]
) -> None:
    stage, started = Stage(), asyncio.Event()

    async def wait() -> None:
        started.set()
        await asyncio.Event().wait()

    task = stage.app.task(name="wait", base=base)(wait)
    running = asyncio.ensure_future(stage.executor.arun(stage.prepared(task)))
    await started.wait()
    stage.executor.abandon()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert names() == ["before_start"]


async def test_a_task_that_cancels_itself_has_failed(asynchronous: bool, base: type[Task[..., Any]]) -> None:
    stage = Stage()

    async def give_up() -> None:
        running = asyncio.current_task()
        assert running is not None
        running.cancel()
        await asyncio.Event().wait()

    outcome = await stage.executor.arun(stage.prepared(stage.app.task(name="give_up", base=base)(give_up)))
    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "CancelledError"
    assert names() == ["before_start", "on_failure", "after_return"]
