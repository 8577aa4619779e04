"""Rates that are set while jobs wait, and limits as they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from umbel import Umbel
from umbel.app.limiting import rate_text
from umbel.exceptions import ImproperlyConfigured
from umbel.model.ids import new_id
from umbel.options import rate_interval
from umbel.testing import VirtualClock, virtual


@pytest.fixture
def app() -> Umbel:
    return Umbel("limiting", broker=f"memory://limiting-{new_id()}", set_as_current=False)


@pytest.fixture
def clock(app: Umbel) -> Iterator[VirtualClock]:
    with virtual(app) as made:
        yield made


def nothing(tenant: str = "") -> None:
    del tenant


@pytest.mark.parametrize("rate", ["10/s", "1/s", "150/m", "100/m", "1/m", "59/m", "5/h", "0.5/h", "61/h", "1000/s"])
def test_a_rate_is_shown_as_one_writes_it(rate: str) -> None:
    assert rate_text(rate_interval(rate, "rate")) == rate


def test_no_rate_is_shown_as_nothing() -> None:
    assert rate_text(0.0) == ""


def test_a_rate_that_is_set_counts_at_once_and_until_it_is_cleared(app: Umbel, clock: VirtualClock) -> None:
    task = app.task(name="slow", rate_limit="1/h", concurrency_limit=3)(nothing)
    task.delay_many([()] * 9)
    assert clock.run() == 1
    assert app.control.rate_limit("slow", "1/m") == ["default"]
    (shown,) = app.queues.limits("default")
    assert (shown.task, shown.key, shown.rate, shown.concurrency, shown.adjusted) == ("slow", "", "1/m", 3, True)
    assert clock.advance("3m") == 3
    app.control.rate_limit("slow")
    (shown,) = app.queues.limits("default")
    assert (shown.rate, shown.adjusted, shown.held) == ("1/h", False, 5)
    assert clock.advance("10m") <= 1  # the one that was due already
    app.control.rate_limit("slow", 0)
    clock.run()
    assert next(app.queues.limits("default")).held == 0


def test_any_task_can_be_slowed_down_if_the_settings_say_so_beforehand(app: Umbel, clock: VirtualClock) -> None:
    app.conf.task_default_rate_limit = 0
    task = app.task(name="plain")(nothing)
    task.delay_many([()] * 4)
    assert clock.run() == 4
    assert app.control.rate_limit("plain", "1/m") == ["default"]
    task.delay_many([()] * 4)
    assert clock.run() + clock.advance("1m") == 2


@pytest.mark.parametrize("options", [{}, {"unique": True, "unique_key": lambda call: new_id()}])
def test_a_task_without_limits_is_slowed_down_and_let_go(
    app: Umbel, clock: VirtualClock, options: dict[str, Any]
) -> None:
    task = app.task(name="plain", **options)(nothing)
    task.delay_many([()] * 4)
    assert clock.run() == 4
    assert app.control.rate_limit("plain", "1/m") == ["default"]
    task.delay_many([()] * 4)
    assert clock.run() + clock.advance("1m") == 2
    (shown,) = app.queues.limits("default")
    assert (shown.task, shown.rate, shown.adjusted, shown.held) == ("plain", "1/m", True, 2)
    assert app.control.rate_limit("plain") == ["default"]
    assert clock.run() == 2
    task.delay_many([()] * 4)
    assert clock.run() == 4


def test_a_rate_for_a_task_without_limits_counts_in_all_queues(app: Umbel, clock: VirtualClock) -> None:
    task, other = app.task(name="plain", queue="own")(nothing), app.task(name="other")(nothing)
    for each in (task, other):
        each.apply_async(queue="b")
    clock.run()
    assert app.control.rate_limit("plain", "1/m") == ["own", "b"]
    for each in (task, task, other, other):
        each.apply_async(queue="b")
    assert clock.run() == 3
    assert app.control.rate_limit("plain", queues=["b"]) == ["b"]
    assert clock.run() == 1


def test_where_no_rate_counts_none_can_be_set(app: Umbel) -> None:
    app.conf.worker_disable_rate_limits = True
    app.task(name="plain")(nothing)
    with pytest.raises(ImproperlyConfigured, match="worker_disable_rate_limits is set: no rate counts"):
        app.control.rate_limit("plain", "1/s")
    assert list(app.queues.limits("default")) == []


def test_a_worker_for_which_no_rate_counts_asks_for_nobody(app: Umbel, clock: VirtualClock) -> None:
    task = app.task(name="plain")(nothing)
    app.control.rate_limit("plain", "1/h")
    app.conf.worker_disable_rate_limits = True
    task.delay_many([()] * 4)
    assert clock.run() == 4


async def test_keys_are_shown_apart_and_a_rate_is_for_all_of_them(app: Umbel) -> None:
    task = app.task(name="apart", rate_limit=0, rate_limit_key="tenant", fair_key="tenant")(nothing)
    task.delay_many([("a",), ("a",), ("b",)])
    assert await app.control.arate_limit("apart", "5/h") == ["default"]
    shown = {one.key: (one.rate, one.held, one.turns) for one in app.queues.limits("default")}
    assert {"a": ("5/h", 1, 1), "b": ("5/h", 0, 0)}.items() <= shown.items()


def test_a_rate_is_set_where_the_task_has_jobs_or_where_one_says(app: Umbel) -> None:
    task = app.task(name="spread", rate_limit=1, queue="own")(nothing)
    for queue in ("b", "a"):
        task.apply_async(queue=queue)
    app.task(name="other")(nothing).apply_async(queue="c")
    assert app.control.rate_limit("spread", "2/s") == ["own", "a", "b"]
    assert app.control.rate_limit("spread", "2/s", queues=["x"]) == ["x"]
    with pytest.raises(ValueError, match="queue is 'a b'"):
        app.control.rate_limit("spread", "2/s", queues=["a b"])


@pytest.mark.parametrize(
    ("task", "rate", "error", "reason"),
    [
        ("limited", "10/parsec", ValueError, "rate is '10/parsec': give how many jobs may start, such as \"10/s\""),
        ("limited", -1, ValueError, "rate is -1"),
        ("limitd", "1/s", ImproperlyConfigured, "no task 'limitd' is registered here: did you mean 'limited'"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changed(
    app: Umbel, task: str, rate: str | float, error: type[Exception], reason: str
) -> None:
    app.task(name="limited", rate_limit="3/s")(nothing)
    with pytest.raises(error, match=reason):
        app.control.rate_limit(task, rate)
    assert list(app.queues.limits("default")) == []


def test_a_broker_that_keeps_no_limits_refuses() -> None:
    app = Umbel("rabbit", broker="amqp://nowhere.invalid/", set_as_current=False)
    app.task(name="limited", rate_limit="3/s")(nothing)
    app.task(name="free")(nothing)
    for task in ("limited", "free"):
        with pytest.raises(ImproperlyConfigured, match=f"limiting {task} needs a broker that keeps limits"):
            app.control.rate_limit(task, "1/s")
    with pytest.raises(ImproperlyConfigured, match="limiting jobs of default needs a broker that keeps limits"):
        list(app.queues.limits("default"))
