"""Tasks: made of functions and classes, run in place through the real codec and executor."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from umbel import AsyncTask, Context, EagerResult, Request, SyncTask, Task, Umbel, allow_join_result, current_task
from umbel.exceptions import (
    AlreadyRegistered,
    Ignore,
    MaxRetriesExceededError,
    NotRegistered,
    Retry,
    TaskError,
    UnknownResult,
)


class Odd(Exception):
    pass


@pytest.fixture
def app() -> Umbel:
    return Umbel("tasks", broker="memory://tasks", set_as_current=False)


# --- what a task is


def test_a_task_is_the_function_that_it_was_made_of(app: Umbel) -> None:
    @app.task
    def add(x: int, y: int = 1) -> int:
        """Add."""
        return x + y

    assert add(1, 2) == 3
    assert isinstance(add, SyncTask)
    assert (add.name, add.__name__, add.__doc__) == ("tests.unit.test_task.add", "add", "Add.")
    assert list(inspect.signature(add).parameters) == ["x", "y"]
    assert app.tasks[add.name] is add
    assert repr(add) == "<@task: tests.unit.test_task.add>"


async def test_an_async_task_makes_its_coroutine(app: Umbel) -> None:
    @app.task
    async def fetch(url: str) -> str:
        return url

    assert isinstance(fetch, AsyncTask)
    assert fetch.is_async
    assert await fetch("u") == "u"


def test_a_bound_task_is_its_functions_self(app: Umbel) -> None:
    @app.task(bind=True, name="who")
    def who(self: Context, x: int) -> tuple[str, int]:
        return self.name, x

    assert who(1) == ("who", 1)
    assert who.options(queue="q")(1) == ("who", 1)


def test_names_come_from_module_and_function_and_main_stands_for_the_script(app: Umbel) -> None:
    def script() -> None: ...

    script.__module__ = "__main__"
    assert app.task(script).name == "tasks.script"
    assert app.gen_task_name("f", "__main__") == "tasks.f"
    assert app.gen_task_name("f", "m") == "m.f"


def test_options_are_attributes(app: Umbel) -> None:
    @app.task(queue="mail", autoretry_for=[OSError], retry_backoff=True, retry_kwargs={"max_retries": 9})
    def mail() -> None: ...

    assert (mail.queue, mail.autoretry_for) == ("mail", (OSError,))
    policy = mail.retry_policy
    assert (policy.max_retries, policy.backoff, policy.autoretry_for) == (9, 1.0, (OSError,))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"queu": "mail"}, TypeError, r"unknown option 'queu': did you mean 'queue'"),
        ({"compression": "zlib"}, TypeError, "'compression' is not supported yet"),
        ({"acks_late": False}, TypeError, "acks_late=False is not supported: a job leaves the broker when"),
        ({"serializer": "pickle"}, TypeError, "serializer='pickle' is not supported: messages are MessagePack"),
        ({"strategy": "x"}, TypeError, "'strategy' is not supported: hooks"),
        ({"queue": "a b"}, ValueError, "queue is 'a b'"),
        ({"priority": 11}, ValueError, "priority is 11"),
        ({"autoretry_for": ("OSError",)}, TypeError, "autoretry_for has 'OSError' in it"),
        ({"soft_time_limit": 5, "time_limit": 1}, ValueError, "soft_time_limit"),
        ({"time_limit": -1}, ValueError, "time_limit is -1: give more than 0"),
        ({"runner": "gevent"}, ValueError, "runner is 'gevent': give 'async', 'thread' or 'process'"),
        ({"runner": "async"}, ValueError, "a `def` task runs by 'process' or by 'thread'"),
        ({"memory_limit": 2**30}, ValueError, "memory_limit needs runner='process'"),
        ({"memory_limit": 0, "runner": "process"}, ValueError, "memory_limit is 0"),
        ({"default_retry_delay": "5"}, TypeError, "default_retry_delay is '5'"),
        ({"retry_kwargs": {"max_retry": 5}}, TypeError, "did you mean 'max_retries'"),
        ({"base": int}, TypeError, "base is <class 'int'>"),
    ],
)
def test_a_wrong_option_fails_at_the_definition(app: Umbel, options: Any, error: type[Exception], words: str) -> None:
    def f() -> None: ...

    with pytest.raises(error, match=words):
        app.task(**options)(f)
    assert len(app.tasks) == 0


def test_what_is_no_function_is_refused(app: Umbel) -> None:
    def generator() -> Iterator[int]:
        yield 1

    class Body: ...

    wrong: Any
    for wrong in ("name", Body, generator, app.task(lambda: 1)):
        with pytest.raises(TypeError):
            app.task(wrong)


def test_two_functions_cannot_have_one_name(app: Umbel) -> None:
    @app.task(name="one")
    def first() -> None: ...

    def second() -> None: ...

    with pytest.raises(AlreadyRegistered, match=r"a task one already, made of .*first .*second .* needs another name"):
        app.task(name="one")(second)
    assert app.tasks["one"] is first


def test_one_definition_executed_twice_replaces_itself(app: Umbel) -> None:
    def define() -> Task[..., Any]:
        @app.task
        def again() -> None: ...

        return again

    define()
    second = define()
    assert app.tasks[second.name] is second


def test_an_unknown_name_is_not_registered(app: Umbel) -> None:
    app.task(name="mail.send")(lambda: 1)
    with pytest.raises(NotRegistered, match=r"no task 'mail.sent' is registered: did you mean 'mail.send'\?"):
        app.tasks["mail.sent"]
    assert "mail.sent" not in app.tasks
    app.tasks.unregister("mail.send")
    with pytest.raises(NotRegistered):
        app.tasks.unregister("mail.send")


# --- classes


class Recording(Task[..., Any]):
    calls: list[tuple[Any, ...]]

    def __init__(self) -> None:
        self.calls = []

    def before_start(self, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.calls.append(("before_start", bool(task_id), args, kwargs))

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.calls.append(("on_success", retval))

    def on_failure(self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any) -> None:
        self.calls.append(("on_failure", type(exc), "Traceback" in str(einfo)))

    async def on_retry(
        self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        self.calls.append(("on_retry", type(exc)))

    def after_return(
        self, status: str, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        self.calls.append(("after_return", status))


def test_hooks_of_the_base_class_are_called_in_celerys_order(app: Umbel) -> None:
    @app.task(base=Recording)
    def half(x: int) -> float:
        return 1 / x

    assert isinstance(half, Recording)
    half.apply((2,))
    assert half.calls == [("before_start", True, [2], {}), ("on_success", 0.5), ("after_return", "SUCCESS")]
    half.calls.clear()
    half.apply((0,))
    assert half.calls[1:] == [("on_failure", ZeroDivisionError, True), ("after_return", "FAILURE")]


def test_a_retry_calls_on_retry_and_not_after_return(app: Umbel) -> None:
    @app.task(base=Recording, bind=True, default_retry_delay=0)
    def twice(self: Context) -> int:
        if self.request.retries == 0:
            raise self.retry(exc=Odd())
        return self.request.retries

    assert twice.apply().get() == 1
    assert isinstance(twice, Recording)
    assert [call[0] for call in twice.calls] == [
        "before_start",
        "on_retry",
        "before_start",
        "on_success",
        "after_return",
    ]


def test_only_the_hooks_that_are_there_are_listed(app: Umbel) -> None:
    assert app.task(lambda: 1).hooks == frozenset()

    @app.task(on_success=lambda self, *_: None, name="other")
    def other() -> None: ...

    assert other.hooks == {"on_success"}


def test_a_class_can_be_a_task(app: Umbel) -> None:
    class Add(Task[[int, int], int]):
        queue: str | None = "sums"

        def run(self, x: int, y: int) -> int:
            return x + y

    add = app.register_task(Add())
    assert (add.name, add.queue) == ("tests.unit.test_task.test_a_class_can_be_a_task.<locals>.Add", "sums")
    assert add.apply((1, 2)).get() == 3
    assert add(1, 2) == 3
    with pytest.raises(TypeError, match="'x'"):
        add.delay("a", 2)


def test_a_class_without_run_is_refused(app: Umbel) -> None:
    class Empty(Task[..., Any]): ...

    with pytest.raises(TypeError, match="must define run"):
        app.register_task(Empty)


def test_a_class_with_its_own_call_is_called_so_by_the_worker(app: Umbel) -> None:
    class Doubling(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().__call__(*args, **kwargs)

    @app.task(base=Doubling)
    def one() -> int:
        return 1

    assert one() == 2
    assert one.apply().get() == 2


def test_the_apps_task_class_is_the_base_of_its_tasks() -> None:
    app = Umbel("tasks", broker="memory://tasks", task_cls=Recording, set_as_current=False)
    assert isinstance(app.task(lambda: 1), Recording)


# --- running in place


def test_apply_runs_here_through_the_codec(app: Umbel) -> None:
    seen: list[Any] = []

    @app.task
    def look(when: datetime, pair: tuple[int, int], anything: Any) -> tuple[int, int]:
        seen.extend((when, pair, anything))
        return pair

    moment = datetime(2026, 1, 2, tzinfo=UTC)
    result = look.apply((moment, (1, 2), (3, 4)), task_id="mine")
    assert seen == [moment, (1, 2), [3, 4]]
    assert isinstance(result, EagerResult)
    assert (result.id, result.state, result.get(), result.ready(), result.successful()) == (
        "mine", "SUCCESS", (1, 2), True, True,
    )  # fmt: skip


def test_apply_gives_the_tasks_error_when_it_is_asked_for(app: Umbel) -> None:
    @app.task
    def fail() -> None:
        raise Odd("why")

    result = fail.apply()
    assert (result.state, result.failed()) == ("FAILURE", True)
    assert isinstance(result.result, Odd)
    assert result.traceback is not None
    assert "Odd: why" in result.traceback
    with pytest.raises(Odd, match="why"):
        result.get()
    with pytest.raises(Odd, match="why"):
        fail.apply(throw=True)
    app.conf.task_eager_propagates = True
    with pytest.raises(Odd, match="why"):
        fail.apply()


def test_always_eager_runs_calls_in_place(app: Umbel) -> None:
    app.conf.task_always_eager = True

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    assert add.delay(1, 2).get() == 3
    assert add.apply_async((1, 2), countdown=50).get() == 3
    assert [result.get() for result in add.delay_many([(1, 2), (3, 4)])] == [3, 7]
    assert [result.get() for result in app.send_many([add.call(1, 2)])] == [3]


async def test_eager_tasks_run_beside_a_running_loop(app: Umbel) -> None:
    app.conf.task_always_eager = True

    @app.task
    async def slow(x: int) -> int:
        await asyncio.sleep(0)
        return x

    assert await (await slow.adelay(1)) == 1
    assert slow.delay(2).get() == 2
    assert [await result for result in await slow.adelay_many([(1,), (2,)])] == [1, 2]


def test_what_a_task_returns_must_travel(app: Umbel) -> None:
    result = app.task(name="odd")(lambda: [object()]).apply()
    assert result.state == "FAILURE"
    with pytest.raises(TypeError, match="the result of odd of type object cannot travel"):
        result.get()


def test_ignore_ends_without_a_result(app: Umbel) -> None:
    @app.task
    def ignore() -> None:
        raise Ignore

    result = ignore.apply()
    assert result.result is None
    with pytest.raises(UnknownResult, match="raised Ignore"):
        result.get()


def test_get_inside_a_task_is_refused_unless_it_is_allowed(app: Umbel) -> None:
    @app.task
    def inner() -> int:
        return 1

    @app.task
    def outer(how: str) -> int:
        if how == "allowed":
            with allow_join_result():
                return inner.apply().get()
        return inner.apply().get(disable_sync_subtasks=how != "keyword")

    assert outer.apply(("allowed",)).get() == 1
    assert outer.apply(("keyword",)).get() == 1
    with pytest.raises(RuntimeError, match="inside a task holds a slot"):
        outer.apply(("denied",)).get()


# --- the request


def test_the_request_tells_of_the_job(app: Umbel) -> None:
    @app.task(bind=True)
    def look(self: Context, x: int, *, y: int) -> None:
        requests.append(self.request)
        assert current_task == self
        assert current_task.name == self.name

    requests: list[Request] = []
    look.apply((1,), {"y": 2}, task_id="mine", headers={"trace": "t", "on": datetime(2026, 1, 2, tzinfo=UTC)},
               expires=timedelta(days=1), time_limit=9)  # fmt: skip
    (request,) = requests
    assert (request.id, request.task, request.args, request.kwargs) == ("mine", look.name, [1], {"y": 2})
    assert (request.retries, request.crashes, request.deliveries, request.is_eager) == (0, 0, 1, True)
    assert (request.root_id, request.parent_id, request.correlation_id) == ("mine", None, "mine")
    assert (request.timelimit, request.ignore_result, request.called_directly) == ([9.0, None], False, False)
    assert request.headers == {"trace": "t", "on": datetime(2026, 1, 2, tzinfo=UTC)}
    assert (request.trace, request.get("trace"), request.get("nothing", 3)) == ("t", "t", 3)
    assert request.expires is not None
    assert datetime.fromisoformat(request.expires).tzinfo is not None
    assert request.eta is None
    assert request.delivery_info["routing_key"] == "default"
    assert request.hostname == "eager@tasks"
    request.update({"mine": 1}, other=2)
    assert (request.mine, request.other) == (1, 2)
    with pytest.raises(AttributeError, match="no attribute and no header 'nothing'"):
        _ = request.nothing
    assert not bool(current_task)


def test_a_plain_call_has_a_request_without_a_job(app: Umbel) -> None:
    @app.task(bind=True)
    def look(self: Context) -> tuple[bool, str, bool]:
        return self.request.called_directly, self.request.id, self.request.is_eager

    assert look() == (True, "", False)


def test_a_task_called_directly_inside_another_sees_no_job_of_its_own(app: Umbel) -> None:
    @app.task(bind=True)
    def inner(self: Context) -> bool:
        return self.request.called_directly

    @app.task
    def outer() -> bool:
        return inner()

    assert outer.apply().get() is True


def test_jobs_sent_by_a_task_know_their_family(app: Umbel) -> None:
    app.conf.task_always_eager = True

    @app.task(bind=True)
    def leaf(self: Context) -> list[Any]:
        return [self.request.root_id, self.request.parent_id]

    @app.task(bind=True)
    def branch(self: Context) -> list[Any]:
        with allow_join_result():
            return [self.request.id, leaf.delay().get()]

    @app.task
    def root() -> list[Any]:
        with allow_join_result():
            return branch.delay().get()

    branch_id, (root_id, parent_id) = root.apply(task_id="top").get()
    assert (root_id, parent_id) == ("top", branch_id)


# --- retry


def counting(app: Umbel, body: Callable[[Context], Any], **options: Any) -> tuple[Task[..., Any], list[int]]:
    runs: list[int] = []

    @app.task(bind=True, default_retry_delay=0, **options)
    def count(self: Context) -> Any:
        runs.append(self.request.retries)
        return body(self)

    return count, runs


def test_retry_runs_again_up_to_the_limit_and_then_raises_the_error(app: Umbel) -> None:
    count, runs = counting(app, lambda self: self.retry(exc=Odd("last")), max_retries=2)
    with pytest.raises(Odd, match="last"):
        count.apply().get()
    assert runs == [0, 1, 2]


def test_retry_without_an_error_says_that_the_limit_is_reached(app: Umbel) -> None:
    caught: list[MaxRetriesExceededError] = []

    def body(self: Context) -> None:
        try:
            self.retry(max_retries=1)
        except MaxRetriesExceededError as error:
            caught.append(error)
            raise

    count, runs = counting(app, body)
    with pytest.raises(TaskError, match="Can't retry"):
        count.apply().get()
    assert runs == [0, 1]
    assert caught[0].task_args == []


def test_retry_raises_what_is_being_handled(app: Umbel) -> None:
    def body(self: Context) -> None:
        try:
            int("handled")
        except ValueError:
            self.retry(max_retries=0)

    count, _ = counting(app, body)
    with pytest.raises(ValueError, match="handled"):
        count.apply().get()


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ({"max_retries": 1}, [0, 1]),
        ({"retry_policy": {"max_retries": 2, "default_delay": 0}}, [0, 1, 2]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_the_call_may_set_the_limit(app: Umbel, options: Any, runs: list[int]) -> None:
    count, seen = counting(app, lambda self: self.retry(exc=Odd()))
    count.apply(**options)
    assert seen == runs


def test_no_limit_is_none(app: Umbel) -> None:
    count, runs = counting(
        app, lambda self: self.retry(exc=Odd()) if self.request.retries < 20 else "done", max_retries=None
    )
    assert count.apply().get() == "done"
    assert len(runs) == 21


def test_retry_replaces_arguments_and_keeps_the_id(app: Umbel) -> None:
    @app.task(bind=True, default_retry_delay=0)
    def down(self: Context, n: int, *, word: str = "a") -> list[Any]:
        if n:
            raise self.retry((n - 1,), {"word": word + "b"})
        return [word, self.request.id]

    assert down.apply((2,), task_id="mine").get() == ["abb", "mine"]


def test_retry_without_throw_is_a_retry_whatever_the_task_returns(app: Umbel) -> None:
    def body(self: Context) -> str:
        if self.request.retries == 0:
            error = self.retry(throw=False, countdown=0)
            assert isinstance(error, Retry)
            return "given up"
        return "done"

    count, runs = counting(app, body)
    assert count.apply().get() == "done"
    assert runs == [0, 1]


def test_the_delay_is_countdown_or_eta_or_the_tasks_own(app: Umbel) -> None:
    def delay_of(**options: Any) -> float | None:
        found: list[float | None] = []

        def body(self: Context) -> None:
            error = self.retry(throw=False, **options)
            assert isinstance(error, Retry)
            found.append(error.when)
            raise Ignore

        app.task(bind=True, default_retry_delay=timedelta(seconds=7), name=f"task{len(app.tasks)}")(body).apply()
        return found[0]

    assert delay_of() == 7.0
    assert delay_of(countdown=3) == 3.0
    assert delay_of(countdown=timedelta(minutes=1), eta=datetime(2030, 1, 1, tzinfo=UTC)) == 60.0
    assert delay_of(eta=datetime(2020, 1, 1, tzinfo=UTC)) == 0.0


def test_a_misspelt_keyword_of_retry_is_an_error(app: Umbel) -> None:
    misspelt: Any = {"countdwn": 3}
    count, _ = counting(app, lambda self: self.retry(**misspelt))
    with pytest.raises(TypeError, match="did you mean 'countdown'"):
        count.apply().get()


def test_retry_outside_a_job_raises_the_error(app: Umbel) -> None:
    count, _ = counting(app, lambda self: self.retry(exc=Odd("direct")))
    with pytest.raises(Odd, match="direct"):
        count()
    count, _ = counting(app, lambda self: self.retry())
    with pytest.raises(Retry, match="Task can be retried"):
        count()


def test_autoretry_follows_the_policy(app: Umbel) -> None:
    runs: list[int] = []

    @app.task(autoretry_for=(Odd,), dont_autoretry_for=(KeyError,), max_retries=2, default_retry_delay=0)
    def flaky() -> int:
        runs.append(1)
        if len(runs) < 3:
            raise Odd
        return len(runs)

    assert flaky.apply().get() == 3
