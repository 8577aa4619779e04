"""Handles: what they wait for, what they raise, and that they never wait for what cannot come."""

import asyncio
import builtins
import threading
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from umbel import AsyncResult, GroupResult, ResultSet, Task, Umbel, allow_join_result, chosen
from umbel.exceptions import TaskError, TaskRevokedError, TimeoutError, UmbelError, UnknownResult
from umbel.model.failure import Failure
from umbel.remote import RemoteTraceback
from umbel.result import denied_join_result, result_from_tuple
from umbel.testing import worker

SECONDS = 60.0


class Odd(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Umbel:
    return Umbel("results", broker=f"memory://{request.function.__name__}{id(request.node)}", set_as_current=False)


@pytest.fixture
def add(app: Umbel) -> Task[[int, int], int]:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    return add


@pytest.fixture
def working(app: Umbel, add: Task[[int, int], int]) -> Iterator[None]:
    @app.task(name="fail")
    def fail() -> None:
        try:
            "inside".encode("ascii").index(b"z")
        except ValueError as error:
            raise Odd(3, "why") from error

    @app.task(name="quiet", ignore_result=True)
    def quiet() -> None: ...

    with worker(app):
        yield


def test_a_handle_is_its_id(add: Task[[int, int], int]) -> None:
    handle = add.delay(1, 2)
    assert str(handle) == handle.id == handle.task_id
    assert handle == handle.id
    assert handle == add.AsyncResult(handle.id)
    assert handle != add.delay(1, 2)
    assert len({handle, add.AsyncResult(handle.id)}) == 1
    assert repr(handle) == f"<AsyncResult: {handle.id}>"
    assert handle.name == add.name


@pytest.mark.usefixtures("working")
def test_get_returns_what_the_task_returned(app: Umbel, add: Task[[int, int], int]) -> None:
    handle = add.delay(4, 6)
    assert handle.get(timeout=SECONDS) == 10
    elsewhere = app.AsyncResult(handle.id)
    assert elsewhere.get(timeout=SECONDS) == 10
    assert (elsewhere.state, elsewhere.status, elsewhere.place) == ("SUCCESS", "SUCCESS", "ended")
    assert (elsewhere.ready(), elsewhere.successful(), elsewhere.failed(), elsewhere.exists()) == (
        True,
        True,
        False,
        True,
    )
    assert (elsewhere.result, elsewhere.info, elsewhere.traceback) == (10, 10, None)
    assert (elsewhere.name, elsewhere.retries, elsewhere.worker) == (add.name, 0, "umbel@testing")
    assert elsewhere.date_done is not None
    assert elsewhere.date_done.tzinfo is not None


@pytest.mark.usefixtures("working")
async def test_the_async_twins_do_the_same(app: Umbel, add: Task[[int, int], int]) -> None:
    handle = await add.adelay(4, 6)
    assert await asyncio.wait_for(handle, SECONDS) == 10
    elsewhere = app.AsyncResult(handle.id)
    assert await elsewhere.aget(timeout=SECONDS) == 10
    assert await app.AsyncResult(handle.id).astate() == "SUCCESS"
    assert await app.AsyncResult(handle.id).aready()
    assert await app.AsyncResult(handle.id).aexists()
    assert await app.AsyncResult(handle.id).aplace() == "ended"
    await elsewhere.aforget()
    assert await elsewhere.astate() == "PENDING"


@pytest.mark.usefixtures("working")
def test_the_tasks_error_comes_with_its_remote_traceback(app: Umbel) -> None:
    handle = app.send_task("fail")
    with pytest.raises(Odd) as caught:
        handle.get(timeout=SECONDS)
    assert caught.value.args == (3, "why")
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert isinstance(caught.value.__cause__.__cause__, ValueError)
    shown = "".join(traceback.format_exception(caught.value))
    assert "in fail" in shown
    assert "raise Odd(3, " in shown
    assert (handle.state, handle.failed(), handle.place) == ("FAILURE", True, "ended")
    assert isinstance(handle.get(propagate=False), Odd)
    with pytest.raises(Odd):
        handle.maybe_throw()
    handle.maybe_throw(propagate=False)


@pytest.mark.usefixtures("working")
def test_an_ignored_result_is_an_error_that_says_so(app: Umbel, add: Task[[int, int], int]) -> None:
    for handle in (app.tasks["quiet"].delay(), add.apply_async((1, 2), ignore_result=True)):
        with pytest.raises(UnknownResult, match=r"the result of .* is ignored: the call, its task or a setting"):
            handle.get()
        elsewhere = app.AsyncResult(handle.id)
        with pytest.raises(UnknownResult, match=r"has ended, and its result is ignored|without a result"):
            elsewhere.get(timeout=SECONDS)
        assert elsewhere.state == "PENDING"
        assert elsewhere.result is None


def test_an_unknown_id_is_an_error_at_once(app: Umbel) -> None:
    handle = app.AsyncResult("nobody")
    with pytest.raises(UnknownResult, match=r"job nobody is unknown: it was not sent to memory://"):
        handle.get()
    assert (handle.state, handle.place, handle.exists(), handle.ready()) == ("PENDING", "unknown", False, False)
    assert (handle.result, handle.traceback, handle.date_done, handle.name, handle.retries) == (
        None,
        None,
        None,
        None,
        0,
    )


async def test_an_unknown_id_is_an_error_at_once_when_awaited(app: Umbel) -> None:
    with pytest.raises(UnknownResult):
        await app.AsyncResult("nobody")


def test_the_place_tells_queued_from_unknown(app: Umbel, add: Task[[int, int], int]) -> None:
    ready, delayed = add.delay(1, 2), add.apply_async((1, 2), countdown=50)
    assert (ready.state, ready.place, ready.exists()) == ("PENDING", "ready", True)
    assert (delayed.state, delayed.place, delayed.exists()) == ("PENDING", "delayed", True)


def test_get_gives_up_after_its_timeout(app: Umbel, add: Task[[int, int], int]) -> None:
    handle = add.delay(1, 2)
    for patience in (0, 0.05):
        with pytest.raises(TimeoutError, match=f"did not arrive within {patience} s") as caught:
            handle.get(timeout=patience)
        assert isinstance(caught.value, builtins.TimeoutError)
    with pytest.raises(TimeoutError):
        app.AsyncResult(handle.id).get(timeout=0)


@pytest.mark.usefixtures("working")
def test_a_forgotten_result_cannot_be_got(add: Task[[int, int], int]) -> None:
    handle = add.delay(1, 2)
    assert handle.wait(timeout=SECONDS) == 3
    handle.forget()
    assert handle.state == "PENDING"
    with pytest.raises(UnknownResult):
        handle.get(timeout=SECONDS)


def test_a_long_wait_ends_when_the_job_can_no_longer_end(
    app: Umbel, add: Task[[int, int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.result.FIRST_LOOK_SECONDS", 0.02)
    handle = add.delay(1, 2)
    other = Umbel("other", broker="memory://another-place", set_as_current=False)
    lost: AsyncResult[int] = AsyncResult(handle.id, other, add, "default")
    with pytest.raises(UnknownResult, match="is unknown"):
        lost.get()


def test_disabled_results_are_an_error_that_says_so() -> None:
    app = Umbel("off", broker="memory://off", backend="disabled://", set_as_current=False)
    handle = app.task(lambda: 1).delay()
    assert app.same_engine
    assert app.conf.task_ignore_result
    with pytest.raises(UnknownResult, match="result_backend is disabled://"):
        handle.get()


def test_misspelt_keywords_of_get_are_errors(add: Task[[int, int], int]) -> None:
    handle = add.delay(1, 2)
    with pytest.raises(TypeError, match="did you mean 'interval'"):
        handle.get(timeout=0, intervall=3)  # type: ignore[call-arg]
    with pytest.raises(TimeoutError):
        handle.get(timeout=0, interval=0.1, no_ack=True, follow_parents=False)


def settled(app: Umbel, failure: Failure | None, state: str = "FAILURE") -> AsyncResult[Any]:
    from umbel.model.outcome import Result

    return AsyncResult("mine", app, settled=Result(state, failure=failure))


def test_an_error_whose_class_is_not_here_is_a_task_error_that_names_it(app: Umbel) -> None:
    failure = Failure("Strange", "somewhere.else", "text", traceback="Traceback: remote")
    with pytest.raises(TaskError, match="Strange: text") as caught:
        settled(app, failure).get()
    assert caught.value.exc_type == "somewhere.else.Strange"
    assert "Traceback: remote" in str(caught.value.__cause__)


def test_a_registered_class_is_made_again(app: Umbel) -> None:
    class Local(Exception): ...

    failure = Failure(Local.__qualname__, Local.__module__, "text", args=["text"])
    with pytest.raises(TaskError):
        settled(app, failure).get()
    app.register_exceptions(Local)
    with pytest.raises(Local, match="text"):
        settled(app, failure).get()


def test_classes_that_a_task_names_are_registered(app: Umbel) -> None:
    class Local(Exception): ...

    app.task(throws=(Local,), name="t")(lambda: 1)
    failure = Failure(Local.__qualname__, Local.__module__, "text", args=["text"])
    with pytest.raises(Local):
        settled(app, failure).get()


def test_revoked_jobs_raise_task_revoked_error(app: Umbel) -> None:
    with pytest.raises(TaskRevokedError, match="revoked"):
        settled(app, None, "REVOKED").get()
    with pytest.raises(TaskRevokedError, match="expired"):
        settled(app, Failure("TaskRevokedError", "umbel.exceptions", "expired", args=["expired"]), "REVOKED").get()


def test_an_expired_job_is_revoked(app: Umbel, add: Task[[int, int], int]) -> None:
    handle = add.apply_async((1, 2), expires=-1)
    with worker(app), pytest.raises(TaskRevokedError, match="expired"):
        handle.get(timeout=SECONDS)
    assert handle.state == "REVOKED"


def test_a_job_that_waits_for_its_retry_is_in_the_state_retry(app: Umbel) -> None:
    ran = threading.Event()

    @app.task(autoretry_for=(Odd,), default_retry_delay=50)
    def flaky() -> None:
        ran.set()
        raise Odd(1, "later")

    handle = flaky.delay()
    with worker(app):
        assert ran.wait(SECONDS)
    # Leaving the worker settles what it ran.
    assert (handle.state, handle.retries, handle.place) == ("RETRY", 1, "delayed")


def test_a_running_job_is_started_if_that_is_tracked(app: Umbel) -> None:
    begun, end = threading.Event(), threading.Event()

    @app.task
    def long() -> None:
        begun.set()
        end.wait(SECONDS)

    handle = long.delay()
    with worker(app):
        assert begun.wait(SECONDS)
        assert (handle.state, handle.place) == ("PENDING", "running")
        app.conf.task_track_started = True
        assert handle.state == "STARTED"
        long.track_started = False
        assert handle.state == "PENDING"
        end.set()


def test_a_value_is_read_by_the_tasks_annotation_where_the_task_is_known(app: Umbel) -> None:
    @app.task(name="pair")
    def pair() -> tuple[int, int]:
        return 1, 2

    with worker(app):
        handle = pair.delay()
        assert handle.get(timeout=SECONDS) == (1, 2)
        assert app.AsyncResult(handle.id).get(timeout=SECONDS) == (1, 2)
    stranger = Umbel("results", broker=app.conf.broker_url, set_as_current=False)
    assert stranger.AsyncResult(handle.id).get(timeout=SECONDS) == [1, 2]


@pytest.mark.parametrize(
    ("setting", "of_task", "stored"), [(True, None, True), (True, False, False), (False, True, True)]
)
def test_errors_of_ignored_results_are_stored_if_that_is_asked_for(
    app: Umbel, setting: bool, of_task: bool | None, stored: bool
) -> None:
    app.conf.update(task_store_errors_even_if_ignored=setting, task_ignore_result=True)

    @app.task
    def fail() -> None:
        raise Odd(1, "kept")

    fail.store_errors_even_if_ignored = of_task
    handle = app.AsyncResult(fail.delay().id)
    with worker(app), pytest.raises(Odd if stored else UnknownResult):
        handle.get(timeout=SECONDS)


def test_celerys_names_of_handles_are_where_celery_has_them() -> None:
    from umbel import result

    assert (result.GroupResult, result.ResultSet) == (GroupResult, ResultSet)
    assert not hasattr(result, "GroupResults")


def test_a_handle_without_an_app_is_of_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Umbel("now", broker="memory://now", set_as_current=False)
    monkeypatch.setattr(chosen, "_default", app)
    handle: AsyncResult[Any] = AsyncResult("some-id")
    assert (handle.app, handle.state) == (app, "PENDING")
    other = Umbel("other", broker="memory://other", set_as_current=False)
    assert AsyncResult[Any]("some-id", app=other).app is other


def test_what_celery_has_in_its_module_of_results_is_here(app: Umbel) -> None:
    one = app.AsyncResult("one")
    assert result_from_tuple(one.as_tuple(), app) == one
    group = GroupResult("group", [one], app)
    assert result_from_tuple(group.as_tuple(), app).id == "group"

    @app.task
    def join() -> list[str]:
        heard = list[str]()
        with allow_join_result():
            for place in (nullcontext(), denied_join_result()):
                with place:
                    try:
                        one.get(timeout=0)
                    except (UmbelError, RuntimeError) as error:
                        heard.append(type(error).__name__)
        return heard

    assert join.apply().get() == ["UnknownResult", "RuntimeError"]
    one.maybe_reraise()  # nothing yet
