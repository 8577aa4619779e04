"""The only ambient look-up: the current app, the current task, tasks shared by all apps."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from umbel import Context, Task, Umbel, chosen, current, current_app, shared_task
from umbel.exceptions import ImproperlyConfigured


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    default, shared = chosen._default, list(current._shared)
    yield
    chosen._default = default
    current._shared[:] = shared


def test_without_an_app_there_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen, "_default", None)
    with pytest.raises(ImproperlyConfigured, match="there is no app yet: make one"):
        _ = current_app.main


def test_the_app_made_last_is_the_current_one_in_every_thread() -> None:
    Umbel("one", broker="memory://")
    app = Umbel("two", broker="memory://")
    Umbel("three", broker="memory://", set_as_current=False)
    seen: list[str | None] = []
    thread = threading.Thread(target=lambda: seen.append(current_app.main))
    thread.start()
    thread.join()
    assert current_app == app
    assert [current_app.main, *seen] == ["two", "two"]


async def test_a_choice_holds_in_its_own_context_only() -> None:
    first, second = (Umbel(name, broker="memory://") for name in ("one", "two"))

    async def choose(app: Umbel) -> str | None:
        app.set_current()
        await asyncio.sleep(0)
        return current_app.main

    assert [*await asyncio.gather(choose(first), choose(second))] == ["one", "two"]
    assert current_app.main == "two"


def test_a_shared_task_is_in_every_app_of_then_and_later() -> None:
    before = Umbel("before", broker="memory://before")

    @shared_task(name="shared.add", queue="sums")
    def add(x: int, y: int) -> int:
        return x + y

    after = Umbel("after", broker="memory://after")
    for app in (before, after):
        assert app.tasks["shared.add"].app is app
        assert app.tasks["shared.add"].queue == "sums"
        assert app.tasks["shared.add"].apply((1, 2)).get() == 3
    assert add(1, 2) == 3


def test_a_shared_task_is_sent_by_the_current_app() -> None:
    one, two = (Umbel(name, broker=f"memory://shared-{name}") for name in ("one", "two"))

    @shared_task
    def add(x: int, y: int) -> int:
        return x + y

    assert add.delay(1, 2).app is two

    def chosen() -> Any:
        one.set_current()
        return add.delay(1, 2)

    assert contextvars.copy_context().run(chosen).app is one
    assert one.AsyncResult(contextvars.copy_context().run(chosen).id).place == "ready"


def test_a_shared_bound_task_is_the_one_of_the_app_that_runs_it() -> None:
    @shared_task(bind=True, name="shared.who")
    def who(self: Context) -> str:
        return str(self.app.conf.broker_url)

    for name in ("one", "two"):
        app = Umbel(name, broker=f"memory://{name}")
        assert app.tasks["shared.who"].apply().get() == f"memory://{name}"


def test_an_apps_own_task_comes_before_a_shared_one() -> None:
    app = Umbel("own", broker="memory://own")
    own = app.task(name="shared.same")(lambda: "own")
    shared_task(name="shared.same")(lambda: "shared")
    assert app.tasks["shared.same"] is own


def test_what_the_settings_say_of_a_shared_task_counts_for_its_calls() -> None:
    app = Umbel("shares", broker="memory://shares", task_annotations={"told": {"queue": "q", "concurrency_limit": 1}})
    task = shared_task(name="told")(_nothing)
    jobs = [task.delay(), *task.delay_many([()])]
    assert [each.queue for each in jobs] == ["q", "q"]
    assert [(one.queue, one.ready, one.held) for one in app.queues.list()] == [("q", 1, 1)]


def _nothing() -> None:
    pass


def test_a_shared_task_is_of_the_class_that_its_app_has_for_tasks() -> None:
    class InContext(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return "in context", self.run(*args, **kwargs)

    class Own(Task[..., Any]): ...

    @shared_task(name="shared.before")
    def before() -> int:
        return 1

    app = Umbel("context", broker="memory://context", task_cls=InContext, set_as_current=False)

    @shared_task(name="shared.after", base=Own)
    def after() -> int:
        return 2

    assert app.tasks["shared.before"].apply().get() == ["in context", 1]
    assert app.tasks["shared.after"].apply().get() == 2
    assert before() == 1
