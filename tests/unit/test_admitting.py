"""Calls of tasks under limits: which job a handle names, and what a call is refused for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from umbel import Task, Umbel, chain, chord, group
from umbel.exceptions import DuplicateJob, ImproperlyConfigured, QueueFull
from umbel.testing import capture, eager


@pytest.fixture
def app() -> Iterator[Umbel]:
    made = Umbel("admitting", broker="memory://admitting", set_as_current=False)
    with capture(made):  # nobody runs anything, and each test has a broker of its own
        yield made


def sync(tenant: str) -> str:
    return tenant


def ready(app: Umbel, queue: str = "default") -> tuple[int, int]:
    """How many jobs of *queue* are ready, and how many are held."""
    return next((one.ready, one.held) for one in app.queues.list() if one.queue == queue)


def test_what_may_not_start_yet_is_held_before_anybody_has_received_it(app: Umbel) -> None:
    task = app.task(concurrency_limit=2)(sync)
    task.delay_many([(str(number),) for number in range(10)])
    assert ready(app) == (2, 8)


def test_members_of_a_group_that_nothing_waits_for_are_held_too(app: Umbel) -> None:
    task = app.task(concurrency_limit=2)(sync)
    group(task.s(str(number)) for number in range(10)).delay()
    assert ready(app) == (2, 8)


def test_jobs_of_other_tasks_in_one_batch_are_not_held(app: Umbel) -> None:
    limited, free = app.task(name="limited", concurrency_limit=1)(sync), app.task(name="free")(sync)
    app.send_many([limited.call("a"), free.call("b"), limited.call("c"), free.call("d")])
    assert ready(app) == (3, 1)


def test_the_default_rate_holds_jobs_of_all_tasks(app: Umbel) -> None:
    task = app.task(sync)
    app.conf.task_default_rate_limit = "1/h"
    task.delay("a")
    task.delay("b")
    assert ready(app) == (1, 1)


# --- unique jobs


async def test_each_way_to_send_answers_the_job_that_stands(app: Umbel) -> None:
    task = app.task(name="sync", unique=True)(sync)
    first = task.delay("a")
    others = [
        task.delay("a"),
        task.apply_async(("a",)),
        await task.adelay("a"),
        await task.aapply_async(kwargs={"tenant": "a"}),
        *task.delay_many([("a",), ("a",)]),
        *await task.adelay_many([("a",)]),
        app.send_task("sync", ("a",)),
        await app.asend_task("sync", ("a",)),
        *app.send_many([task.call("a")]),
        *await app.asend_many([task.call("a")]),
        task.s("a").delay(),
        await task.si("a").aapply_async(),
        chain(task.s("a")).delay(),
    ]
    assert [each.id for each in others] == [first.id] * len(others)
    assert task.delay("b").id != first.id
    assert ready(app) == (2, 0)


def test_two_of_one_batch_are_one_job(app: Umbel) -> None:
    task = app.task(unique="queued")(sync)
    one, two, three = task.delay_many([("a",), ("a",), ("b",)])
    assert one.id == two.id != three.id


def test_the_same_id_twice_is_no_conflict(app: Umbel) -> None:
    task = app.task(unique=True, on_conflict="raise")(sync)
    assert [task.apply_async(("a",), task_id="mine").id for _ in range(2)] == ["mine", "mine"]


def test_a_call_may_ask_for_an_error_that_names_the_holder(app: Umbel) -> None:
    task = app.task(unique=True, on_conflict="raise")(sync)
    first = task.delay("a")
    with pytest.raises(DuplicateJob, match=f"was not sent: job {first.id} has its unique key") as raised:
        task.delay("a")
    assert raised.value.holder == first.id
    with pytest.raises(DuplicateJob):
        task.delay_many([("b",), ("a",)])
    assert ready(app) == (2, 0)  # the other one of that batch was sent


def test_one_key_in_two_tasks_or_queues_is_two_jobs(app: Umbel) -> None:
    one, two = (app.task(name=name, unique=True)(sync) for name in ("one", "two"))
    assert len({one.delay("a"), two.delay("a"), one.apply_async(("a",), queue="q")}) == 3


@pytest.mark.parametrize(
    "made",
    [
        lambda task, other: group(task.s("a"), other.s("b")),
        lambda task, other: chain(other.s("b"), task.si("a")),
        lambda task, other: chord([task.s("a"), other.s("b")], other.si("b")),
        lambda task, other: chord([other.s("b"), other.s("b")], task.si("a")),
        lambda task, other: other.s("b").set(link=task.si("a")),
    ],
)
def test_a_unique_task_is_refused_in_a_canvas_with_the_reason(app: Umbel, made: Any) -> None:
    task, other = app.task(name="alone", unique=True)(sync), app.task(name="other")(sync)
    with pytest.raises(ValueError, match=r"alone is unique, so another job may stand for it"):
        made(task, other).apply_async()
    assert app.queues.list() == []


# --- lengths of queues


def test_a_full_queue_refuses_all_of_a_batch_whatever_its_tasks(app: Umbel) -> None:
    app.conf.task_queue_max_length = {"small": 2}
    task = app.task(sync)
    task.apply_async(("a",), queue="small")
    with pytest.raises(QueueFull):
        task.options(queue="small").delay_many([("b",), ("c",)])
    assert ready(app, "small") == (1, 0)
    task.apply_async(("b",), queue="small")
    with pytest.raises(QueueFull):
        group(task.s("c").set(queue="small"), task.s("d").set(queue="small")).delay()
    task.delay_many([("x",)] * 5)
    assert ready(app) == (5, 0)


def test_one_number_is_for_every_queue(app: Umbel) -> None:
    app.conf.task_queue_max_length = 1
    task = app.task(sync)
    task.delay("a")
    task.apply_async(("a",), queue="other")
    for queue in ("default", "other"):
        with pytest.raises(QueueFull):
            task.apply_async(("b",), queue=queue)


# --- what cannot be


@pytest.mark.parametrize(
    ("options", "length", "reason"),
    [
        ({"unique": "queued"}, 0, "unique='queued' is for jobs that nobody has started"),
        ({"unique": True, "on_conflict": "raise"}, 0, "on_conflict='raise' needs an answer"),
        ({}, 5, "the queue default has a length limit"),
    ],
)
def test_what_needs_an_answer_is_refused_in_a_transaction(app: Umbel, options: Any, length: int, reason: str) -> None:
    app.conf.task_queue_max_length = length
    task = app.task(**options)(sync)
    with pytest.raises(ImproperlyConfigured, match=reason):
        task.apply_async(("a",), connection=object())


def test_what_a_worker_can_ask_for_is_left_to_it_in_a_transaction(app: Umbel) -> None:
    task = app.task(unique=True, rate_limit="1/s", fair_key="tenant")(sync)
    with pytest.raises(ImproperlyConfigured, match="connection= needs a broker that accepts and ends jobs"):
        task.apply_async(("a",), connection=object())


@pytest.mark.parametrize("options", [{"rate_limit": "10/s"}, {"concurrency_limit": 1}, {"unique": True}])
def test_a_broker_that_keeps_no_limits_refuses_the_call(options: Any) -> None:
    app = Umbel("rabbit", broker="amqp://user:secret@nowhere.invalid/", set_as_current=False)
    task = app.task(name="limited", **options)(sync)
    with pytest.raises(
        ImproperlyConfigured, match=r"limiting limited needs a broker that keeps limits.*nowhere"
    ) as told:
        task.delay("a")
    assert "secret" not in str(told.value)


def test_in_place_nothing_waits_and_a_wrong_key_is_an_error(app: Umbel) -> None:
    task = app.task(rate_limit="1/h", unique=True)(sync)
    wrong = cast("Task[..., str]", app.task(name="wrong", fair_key=lambda given: given["nobody"])(sync))
    with eager(app):
        assert [task.delay("a").get() for _ in range(3)] == ["a"] * 3
        with pytest.raises(TypeError, match="fair_key cannot be computed"):
            wrong.delay("a")
