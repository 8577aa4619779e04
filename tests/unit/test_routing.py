"""Where jobs go: ``task_routes`` and ``task_queues``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from queue import SimpleQueue
from types import ModuleType
from typing import Any

import pytest

from umbel import Queue, Umbel, chain, chord, group
from umbel.exceptions import ImproperlyConfigured, QueueFull
from umbel.signals import before_task_publish
from umbel.testing import capture, worker
from umbel.wire import envelope

PATIENCE = 60.0
TOLD: SimpleQueue[str] = SimpleQueue()
"""The queues that jobs of mail.send came from."""


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Umbel]:
    with Umbel("shop", broker=f"memory://routing{id(request.node)}", set_as_current=False) as made:

        @made.task(name="shop.add")
        def add(x: int, y: int = 0) -> int:
            return x + y

        @made.task(name="shop.owned", queue="own", priority=2, time_limit=60)
        def owned(x: int) -> int:
            return 1 // x

        @made.task(name="mail.send", bind=True)
        def send(self: Any, *_: Any) -> Any:
            TOLD.put(self.request.delivery_info["routing_key"])
            return self.request.delivery_info["routing_key"]

        yield made


def queue(app: Umbel, name: str, *args: Any, **options: Any) -> str | None:
    return app.send_task(name, args, **options).queue


def test_a_name_a_glob_or_an_expression_leads_to_a_queue_and_a_name_comes_first(app: Umbel) -> None:
    app.conf.task_routes = [
        [("shop.*", "shops"), ("shop.add", {"queue": "sums"}), (re.compile(r"(mail|fax)\..*"), {"queue": "mails"})]
    ]
    assert [queue(app, name, 1) for name in ("shop.add", "shop.pay", "mail.send", "fax.send", "shopping")] == [
        "sums",
        "shops",
        "mails",
        "mails",
        "default",
    ]


def test_the_call_comes_first_then_the_task_then_the_route(app: Umbel) -> None:
    app.conf.task_routes = {"shop.*": {"queue": "shops", "priority": 7, "countdown": 9, "headers": {"a": 1}}}
    with capture(app) as captured:
        app.tasks["shop.owned"].delay(1)
        app.tasks["shop.owned"].apply_async((1,), queue="said", priority=4, countdown=1, headers={"b": 2})
        app.tasks["shop.add"].apply_async((1,), countdown=3)
    found = [(job.queue, job.priority, job.delay, job.headers) for job in captured.sent]
    assert found == [("own", 2, 9, {"a": 1}), ("said", 4, 1, {"b": 2}), ("shops", 7, 3, {"a": 1})]


def test_a_function_is_told_of_the_call_and_the_first_that_knows_a_way_decides(app: Umbel) -> None:
    told: list[Any] = []

    def by_tenant(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
        told.append((name, args, kwargs, options, task))
        return {"queue": f"tenant-{args[0]}"} if args[0] else None

    class Old:
        def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> str | None:
            return "old" if task == "shop.add" else None

    app.conf.task_routes = (by_tenant, Old(), {"*": "rest"})
    add = app.tasks["shop.add"]
    assert queue(app, "shop.add", 7, priority=3) == "tenant-7"
    assert told == [("shop.add", (7,), {}, {"priority": 3}, add)]
    assert [queue(app, "shop.add", 0), queue(app, "mail.send", 0)] == ["old", "rest"]


def test_a_router_by_its_path_is_imported_when_it_is_asked_first(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    class Router:
        def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> dict[str, Any]:
            return {"queue": "found"}

    app.conf.task_routes = "shop_routers.Router"
    with pytest.raises(ImproperlyConfigured, match=r"the router 'shop_routers\.Router': No module named"):
        queue(app, "shop.add", 1)
    module = ModuleType("shop_routers")
    vars(module)["Router"] = Router
    monkeypatch.setitem(sys.modules, "shop_routers", module)
    assert queue(app, "shop.add", 1) == "found"


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        (5, "5 is no router"),
        ({5: "a"}, "5 is no task name"),
        ({"a": 5}, "'a': 5 is no way: give the name of a queue"),
        ({"a": "two words"}, "'a': queue is 'two words'"),
        ({"a": {"queue": "b", "priorty": 1}}, "did you mean 'priority'"),
        ({"a": {"queue": "b", "priority": 10}}, "'a': priority is 10"),
        ({"a": {"queue": "b", "routing_key": "c"}}, "routing_key='c': jobs go to a queue by its name"),
        ({"a": {"queue": "b", "task_id": "c"}}, "task_id"),
    ],
)
def test_routes_that_are_none_are_refused_when_they_are_set(app: Umbel, routes: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"task_routes \(app\.conf\): .*{re.escape(words)}"):
        app.conf.task_routes = routes
    assert app.conf.task_routes == ()
    assert queue(app, "shop.add", 1) == "default"


def test_an_answer_of_a_router_that_is_no_route_is_an_error_and_nothing_is_sent(app: Umbel) -> None:
    app.conf.task_routes = [lambda *_, **__: {"qeue": "a"}]
    with capture(app) as captured, pytest.raises(ImproperlyConfigured, match=r"task_routes\[0\] answers .*'queue'"):
        app.tasks["shop.add"].delay(1)
    assert not captured.sent


def test_an_exchange_and_a_key_that_name_the_queue_again_are_left_out(app: Umbel) -> None:
    app.conf.task_routes = {"shop.add": {"queue": "sums", "exchange": "sums", "routing_key": "sums"}}
    assert queue(app, "shop.add", 1) == "sums"


def test_signals_are_told_of_the_queue_and_a_router_is_asked_once(app: Umbel) -> None:
    asked, keys = [], []

    def ask(name: str, args: Any, *_: Any, **__: Any) -> str | None:
        asked.append((name, args))
        return "routed" if args == (1,) else None

    app.conf.task_routes = [ask]

    def note(routing_key: str, **_: Any) -> None:
        keys.append(routing_key)

    before_task_publish.connect(note)
    try:
        assert [app.tasks["shop.add"].delay(x).queue for x in (1, 2)] == ["routed", "default"]
    finally:
        before_task_publish.disconnect(note)
    assert (asked, keys) == ([("shop.add", (1,)), ("shop.add", (2,))], ["routed", "default"])


async def test_async_calls_and_those_of_many_are_routed(app: Umbel) -> None:
    app.conf.task_routes = {"*": "routed"}
    add = app.tasks["shop.add"]
    handles = [await add.adelay(1), await add.aapply_async((1,)), *add.delay_many([(1,)])]
    handles += await add.adelay_many([(1,)])
    assert {handle.queue for handle in handles} == {"routed"}


def test_jobs_of_flows_their_callbacks_and_those_of_schedules_are_routed(app: Umbel) -> None:
    app.conf.update(
        task_routes={"mail.*": "mails", "shop.add": "sums"},
        task_queues=["mails", "sums"],
        beat_schedule={"hourly": {"task": "mail.send", "schedule": 3600}},
    )
    add, send = app.tasks["shop.add"], app.tasks["mail.send"]
    with worker(app):
        assert chain(add.s(1), send.s()).delay().get(timeout=PATIENCE) == "mails"
        assert group(send.s(each) for each in range(3)).delay().get(timeout=PATIENCE) == ["mails"] * 3
        assert chord([add.s(1), add.s(2)], send.s()).delay().get(timeout=PATIENCE) == "mails"
        for _ in range(5):
            TOLD.get(timeout=PATIENCE)
        add.apply_async((1,), link=send.s(), ignore_result=True)
        app.tasks["shop.owned"].apply_async((0,), queue="sums", link_error=send.si())
        assert [TOLD.get(timeout=PATIENCE) for _ in range(2)] == ["mails", "mails"]
    (entry,) = app.periodic.entries()
    assert (entry.queue, envelope.decode(entry.envelope).task) == ("mails", "mail.send")


def test_a_worker_serves_the_queues_that_are_said_and_their_lengths_hold(app: Umbel) -> None:
    app.conf.task_queues = [Queue("sums", "sums", routing_key="sums", max_length=1, durable=True), "mails"]
    assert app.conf.usual_queues == ("sums", "mails")
    assert app.conf.task_queues == {"sums": {"max_length": 1}, "mails": {}}
    add = app.tasks["shop.add"]
    first = add.apply_async((1,), queue="sums")
    with pytest.raises(QueueFull):
        add.apply_async((2,), queue="sums")
    other = add.apply_async((3,), queue="mails")
    with worker(app):
        assert [first.get(timeout=PATIENCE), other.get(timeout=PATIENCE)] == [1, 3]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "give a list of names or Queue"),
        (["two words"], "queue is 'two words'"),
        ({"a": 5}, "a has 5"),
        ({"a": {"message_ttl": 5}}, "no message_ttl=5: give tasks or routes expires="),
        ({"a": {"routing_key": "a.b"}}, "routing_key='a.b': jobs go to a queue by its name"),
        ({"a": {"queue_arguments": {"x-max-length": -1}}}, "x-max-length"),
        ({"a": {"durable": False}}, "no durable=False"),
    ],
)
def test_queues_that_are_none_are_refused_when_they_are_set(app: Umbel, given: Any, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"task_queues.*\(app\.conf\).*{re.escape(words)}"):
        app.conf.task_queues = given
    assert app.conf.usual_queues == ("default",)


def test_what_no_queue_has_is_refused_by_its_name() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Queue\('a'\): a queue has no bindings="):
        Queue("a", bindings=["b"])
    assert repr(Queue("a", max_length=3)) == "Queue('a', max_length=3)"


def test_routes_and_queues_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMBEL_TASK_ROUTES", '{"shop.*": {"queue": "shops"}}')
    monkeypatch.setenv("UMBEL_TASK_QUEUES", "shops, mails")
    with Umbel("shop", broker="memory://routed-by-environment", set_as_current=False) as app:
        assert app.conf.usual_queues == ("shops", "mails")
        assert queue(app, "shop.add", 1) == "shops"
