"""`apply`: here and now, but through the real codec and the real executor."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from umbel import Task, Umbel
from umbel.exceptions import EncodeError, Ignore, Reject, SoftTimeLimitExceeded, TaskError, TimeLimitExceeded

SECONDS = 60.0
LIMIT = 0.5
"""Seconds: many times what a run needs that does nothing, on a busy machine too."""


class Odd(Exception):
    pass


@pytest.fixture
def app() -> Umbel:
    return Umbel("eager", broker="memory://eager", set_as_current=False)


def test_arguments_and_result_pass_through_the_codec(app: Umbel) -> None:
    @app.task
    def swap(pair: tuple[int, str]) -> Any:
        assert type(pair) is tuple
        return pair[::-1]

    given = (1, "a")
    result = swap.apply((given,))
    assert result.get() == ["a", 1]
    assert (result.state, result.successful()) == ("SUCCESS", True)


def test_a_result_that_cannot_travel_fails_here_as_it_would_there(app: Umbel) -> None:
    @app.task
    def thing() -> object:
        return object()

    result = thing.apply()
    with pytest.raises(EncodeError):
        result.get()


def test_retries_follow_in_place_without_waiting(app: Umbel) -> None:
    seen: list[tuple[int, bool]] = []

    @app.task(bind=True, autoretry_for=(Odd,), default_retry_delay=3600)
    def thrice(self: Any) -> int:
        seen.append((self.request.retries, self.request.is_eager))
        if self.request.retries < 2:
            raise Odd
        return int(self.request.retries)

    assert thrice.apply().get() == 2
    assert seen == [(0, True), (1, True), (2, True)]


def test_a_retry_with_other_arguments_runs_with_those(app: Umbel) -> None:
    @app.task(bind=True)
    def again(self: Any, x: int) -> int:
        if x == 1:
            self.retry(args=(2,), countdown=3600)
        return x

    assert again.apply((1,)).get() == 2


def test_exhausted_retries_end_in_the_error(app: Umbel) -> None:
    @app.task(autoretry_for=(Odd,), max_retries=2)
    def never() -> None:
        raise Odd("still")

    result = never.apply()
    assert (result.state, result.retries) == ("FAILURE", 2)
    with pytest.raises(Odd, match="still"):
        result.get()


def test_ctrl_c_while_a_job_runs_in_place_reaches_the_caller(app: Umbel) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        app.task(name="interrupted")(interrupted).apply()


def test_an_exit_of_the_task_does_not_end_the_caller(app: Umbel) -> None:
    def leave() -> None:
        raise SystemExit(3)

    result = app.task(name="leave")(leave).apply()
    assert result.state == "FAILURE"
    with pytest.raises(TaskError, match="3"):
        result.get()


def test_an_ignored_job_says_so_and_a_rejected_one_has_failed(app: Umbel) -> None:
    def raising(error: Exception) -> Any:
        def fail() -> None:
            raise error

        return fail

    assert app.task(name="ignored")(raising(Ignore())).apply().state == "IGNORED"
    assert app.task(name="rejected")(raising(Reject("no"))).apply().state == "FAILURE"


def test_an_async_task_runs_in_a_loop_of_its_own(app: Umbel) -> None:
    @app.task
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    assert where.apply().get() == threading.get_ident()


async def test_an_async_task_runs_beside_a_loop_that_runs_already(app: Umbel) -> None:
    @app.task
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    assert where.apply().get() != threading.get_ident()


def test_hooks_are_called_in_place(app: Umbel) -> None:
    seen: list[str] = []

    class Noting(Task[..., Any]):
        def on_success(self, *what: Any, **_: Any) -> None:
            seen.append("on_success")

        async def after_return(self, *what: Any, **_: Any) -> None:
            seen.append("after_return")

    app.task(name="noted", base=Noting)(lambda: 1).apply()
    assert seen == ["on_success", "after_return"]


async def test_coroutines_as_hooks_of_a_plain_task_run_beside_a_loop_as_well(app: Umbel) -> None:
    seen: list[str] = []

    class Noting(Task[..., Any]):
        async def before_start(self, *what: Any, **_: Any) -> None:
            seen.append("before_start")

    assert app.task(name="noted", base=Noting)(lambda: 1).apply().get() == 1
    assert seen == ["before_start"]


def _loop_until(moment: float) -> None:
    while time.monotonic() < moment:
        pass


def test_a_run_in_place_is_told_of_its_soft_limit(app: Umbel) -> None:
    @app.task(soft_time_limit=LIMIT)
    def compute() -> str:
        try:
            _loop_until(time.monotonic() + SECONDS)
        except SoftTimeLimitExceeded as error:
            return f"cleaned up, {error.args}"
        return "not told"

    @app.task(soft_time_limit=LIMIT)
    async def wait() -> str:
        try:
            await asyncio.sleep(SECONDS)
        except SoftTimeLimitExceeded:
            return "cleaned up"
        return "not told"

    assert compute.apply().get().startswith("cleaned up")
    assert wait.apply().get() == "cleaned up"


def test_a_run_in_place_ends_at_its_hard_limit_if_it_listens(app: Umbel) -> None:
    app.conf.task_time_limit = 0.05

    @app.task(autoretry_for=(TimeLimitExceeded,))
    def compute() -> None:
        _loop_until(time.monotonic() + SECONDS)

    @app.task
    async def wait() -> None:
        await asyncio.sleep(SECONDS)

    for task in (compute, wait):
        result = task.apply()
        with pytest.raises(TimeLimitExceeded):
            result.get()


def test_what_comes_after_a_run_in_place_is_not_struck(app: Umbel) -> None:
    @app.task(soft_time_limit=LIMIT)
    def short() -> int:
        return 1

    assert short.apply().get() == 1
    _loop_until(time.monotonic() + 1.2 * LIMIT)
