"""What the jobs of a task stand under: options, keys and settings, the same for whoever sends and whoever receives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from umbel import AsyncResult, Task, Umbel
from umbel.exceptions import EncodeError, ImproperlyConfigured
from umbel.model.limit import Limit, Pace, Unique
from umbel.options import rate_interval
from umbel.regulation import Standing, regulation_of, shown
from umbel.wire.envelope import decode


@pytest.fixture
def app() -> Umbel:
    return Umbel("regulation", broker="memory://regulation", set_as_current=False)


def call(tenant: str, number: int = 3, *more: int, deep: bool = False, **named: Any) -> None:
    del tenant, number, more, deep, named


def simple(tenant: str, number: int = 3) -> None:
    del tenant, number


def standing(app: Umbel, task: Task[..., Any], *args: Any, **kwargs: Any) -> Standing:
    """What a call of *task* stands under."""
    job = app.job_named(task.name, args, kwargs, {})
    regulation = regulation_of(task, app.conf)
    assert regulation is not None
    envelope = decode(job.envelope)
    return regulation.standing(app.conf, envelope.args, envelope.kwargs)


def key(app: Umbel, task: Task[..., Any], *args: Any, **kwargs: Any) -> str:
    """The key of the limit that a call of *task* stands under."""
    limit = standing(app, task, *args, **kwargs).limit
    assert limit is not None
    return limit.key


# --- rates


@pytest.mark.parametrize(
    ("rate", "interval"),
    [("10/s", 0.1), ("100/m", 0.6), ("5/h", 720.0), ("2", 0.5), (4, 0.25), (0.5, 2.0), ("0/s", 0.0), (0, 0.0)],
)
def test_a_rate_is_read_as_celery_reads_it(rate: str | float, interval: float) -> None:
    assert rate_interval(rate, "rate_limit") == pytest.approx(interval)


@pytest.mark.parametrize(
    "rate", ["10/parsec", "ten/s", "-1/s", -1, "", "/s", "10/", float("nan"), float("inf"), "inf/s"]
)
def test_a_malformed_rate_is_refused_where_the_task_is_made(app: Umbel, rate: Any) -> None:
    with pytest.raises(ValueError, match=r'^\S+: rate_limit is .*give how many jobs may start, such as "10/s"'):
        app.task(rate_limit=rate)(simple)


@pytest.mark.parametrize("rate", [True, [10], object()])
def test_what_is_no_rate_at_all_is_refused(app: Umbel, rate: Any) -> None:
    with pytest.raises(TypeError, match="rate_limit is"):
        app.task(rate_limit=rate)(simple)


# --- options that cannot be


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"concurrency_limit": 0}, "concurrency_limit is 0: give a whole number above 0"),
        ({"concurrency_limit": -1}, "concurrency_limit is -1"),
        ({"concurrency_limit": True}, "concurrency_limit is True"),
        ({"rate_limit_key": "tenant"}, "say.* what rate_limit counts by: give that, too"),
        ({"concurrency_limit_key": "tenant"}, "say.* what concurrency_limit counts by: give that, too"),
        ({"rate_limit": 1, "rate_limit_key": "tenant", "concurrency_limit": 1}, "a job is counted once, by one key"),
        ({"fair_key": "nobody"}, "fair_key names 'nobody', and the task has the parameters tenant, number"),
        ({"rate_limit": 1, "rate_limit_key": ("tenant", "nobody")}, "rate_limit_key names 'nobody'"),
        ({"unique": "always"}, "unique is 'always': give 'queued', 'done' or a number of seconds"),
        ({"unique": 0}, "unique is 0: give more than 0 seconds"),
        ({"unique": -5.0}, "unique is -5.0: give more than 0 seconds"),
        ({"unique_key": "tenant"}, "unique_key is for jobs that are unique"),
        ({"on_conflict": "raise"}, "on_conflict is for jobs that are unique"),
        ({"unique": True, "on_conflict": "replace"}, "on_conflict is 'replace': give 'return' or 'raise'"),
    ],
)
def test_options_that_cannot_be_are_refused_with_the_reason(app: Umbel, options: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        app.task(**options)(simple)


@pytest.mark.parametrize("given", [3, (), (1, 2), {"tenant"}])
def test_what_is_no_key_is_refused(app: Umbel, given: Any) -> None:
    with pytest.raises(TypeError, match=r"fair_key is .*give the name of a parameter"):
        app.task(fair_key=given)(simple)


# --- keys


def test_a_key_is_a_parameter_several_or_a_function(app: Umbel) -> None:
    one = app.task(name="one", rate_limit=1, rate_limit_key="tenant")(simple)
    two = app.task(name="two", rate_limit=1, rate_limit_key=("tenant", "number"))(simple)
    made = app.task(name="made", rate_limit=1, rate_limit_key=lambda given: given["number"] % 2)(simple)
    assert [key(app, task, "acme", 4) for task in (one, two, made)] == ["acme", '["acme",4]', "0"]


def test_how_arguments_are_given_does_not_matter_and_defaults_count(app: Umbel) -> None:
    task = app.task(unique=True)(simple)
    ways: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (("a",), {}),
        (("a", 3), {}),
        ((), {"tenant": "a"}),
        ((), {"number": 3, "tenant": "a"}),
    ]
    assert len({standing(app, task, *args, **kwargs) for args, kwargs in ways}) == 1
    assert standing(app, task, "a", 4) != standing(app, task, "a")


def test_further_keywords_are_arguments_too(app: Umbel) -> None:
    task = app.task(fair_key="region")(call)
    limit = standing(app, task, "acme", 1, 2, 3, region="eu").limit
    assert limit is not None
    assert limit.turn == "eu"
    with pytest.raises(TypeError, match="fair_key needs the argument 'region', which the call does not give"):
        standing(app, task, "acme")


def test_a_bound_task_is_counted_by_its_own_parameters(app: Umbel) -> None:
    @app.task(bind=True, concurrency_limit=1, concurrency_limit_key="tenant")
    def bound(self: Task[..., Any], tenant: str) -> None:
        del self, tenant

    assert key(app, bound, "acme") == "acme"


def test_keys_are_made_of_arguments_as_they_arrive(app: Umbel) -> None:
    @app.task(rate_limit=1, rate_limit_key=lambda given: type(given["what"]).__name__)
    def typed(what: UUID) -> None:
        del what

    assert key(app, typed, UUID(int=1)) == "UUID"


def test_a_default_that_can_be_no_key_is_no_part_of_one(app: Umbel) -> None:
    nothing = object()

    @app.task(unique=True)
    def task(tenant: str, more: Any = nothing) -> None:
        del tenant, more

    unique = standing(app, task, "a").unique
    assert unique is not None
    assert unique.key.endswith(':{"tenant":"a"}')


def test_a_function_that_fails_is_a_clear_error_at_the_call(app: Umbel) -> None:
    def count(given: Mapping[str, Any]) -> object:
        return given["nobody"]

    task = app.task(rate_limit=1, rate_limit_key=count)(simple)
    with pytest.raises(TypeError, match=r"rate_limit_key cannot be computed: KeyError: 'nobody'"):
        task.delay("a")
    odd = app.task(name="odd", rate_limit=1, rate_limit_key=lambda _: object())(simple)
    with pytest.raises(EncodeError, match="rate_limit_key: a value of type object cannot be a key"):
        odd.delay("a")
    assert app.queues.list() == []


# --- what it comes to


def test_a_limit_names_task_key_turn_and_pace(app: Umbel) -> None:
    task = app.task(
        name="all",
        rate_limit="2/s",
        rate_limit_key=["tenant"],
        concurrency_limit=5,
        concurrency_limit_key=("tenant",),
        fair_key="number",
    )(simple)
    assert standing(app, task, "acme").limit == Limit("all", '["acme"]', "3", Pace(5, 0.5))


@pytest.mark.parametrize(
    ("unique", "found"),
    [
        (True, Unique("u:a")),
        ("done", Unique("u:a")),
        ("queued", Unique("u:a", "queued")),
        (60, Unique("u:a", seconds=60.0)),
        (timedelta(minutes=2), Unique("u:a", seconds=120.0)),
    ],
)
def test_a_unique_key_says_for_how_long(app: Umbel, unique: Any, found: Unique) -> None:
    task = app.task(name="u", unique=unique, unique_key="tenant")(simple)
    assert standing(app, task, "a").unique == found


def test_a_task_without_these_options_stands_under_nothing(app: Umbel) -> None:
    assert app.task(simple).regulation is None
    assert app.task(name="no", unique=False)(simple).regulation is not None  # said, and it comes to nothing
    assert standing(app, app.tasks["no"], "a") == Standing()


def test_a_task_of_any_rate_is_counted_so_that_it_can_be_slowed_down(app: Umbel) -> None:
    task = app.task(name="any", rate_limit=0)(simple)
    assert standing(app, task, "a") == Standing(Limit("any"))


# --- settings


def test_the_default_rate_is_for_tasks_that_name_none(app: Umbel) -> None:
    plain, free = app.task(name="plain")(simple), app.task(name="free", rate_limit=0)(simple)
    apart = app.task(name="apart", concurrency_limit=1, concurrency_limit_key="tenant")(simple)
    assert regulation_of(plain, app.conf) is None
    app.conf.task_default_rate_limit = "10/s"
    assert standing(app, plain, "a").limit == Limit("plain", pace=Pace(interval=0.1))
    assert standing(app, free, "a").limit == Limit("free")
    assert standing(app, apart, "a").limit == Limit("apart", "a", pace=Pace(1))
    assert [shown(task, app.conf) for task in (plain, free)] == ["rate_limit=10/s", "rate_limit=0"]


def test_a_default_that_allows_any_rate_has_all_tasks_counted(app: Umbel) -> None:
    plain = app.task(name="plain")(simple)
    before = app.conf.regulates
    app.conf.task_default_rate_limit = 0
    assert (before, app.conf.regulates) == (False, True)
    assert standing(app, plain, "a").limit == Limit("plain")
    assert shown(plain, app.conf) == "rate_limit=0"


def test_rates_count_for_nothing_where_they_are_disabled(app: Umbel) -> None:
    app.conf.worker_disable_rate_limits = True
    rated = app.task(name="rated", rate_limit=1)(simple)
    both = app.task(name="both", rate_limit=1, concurrency_limit=2)(simple)
    assert standing(app, rated, "a") == Standing()
    assert standing(app, both, "a").limit == Limit("both", pace=Pace(2))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("task_default_rate_limit", "10/parsec", 'give how many jobs may start, such as "10/s"'),
        ("task_default_rate_limit", -1, "task_default_rate_limit is -1"),
        ("task_queue_max_length", -1, "task_queue_max_length is -1"),
        ("task_queue_max_length", {"a b": 1}, "queue is 'a b'"),
        ("task_queue_max_length", {"a": -1}, "task_queue_max_length is"),
        ("task_annotations", {"add": {"rate": 1}}, "unknown option 'rate'"),
        ("task_annotations", {"add": 1}, "task_annotations is"),
    ],
)
def test_settings_that_cannot_be_are_refused(app: Umbel, name: str, value: Any, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=reason):
        app.conf[name] = value


def test_annotations_beat_what_the_code_says_before_and_after_they_are_read() -> None:
    found: list[str] = []
    app = Umbel(
        "annotated",
        broker="memory://annotated",
        set_as_current=False,
        task_annotations={
            "*": {"priority": 3},
            "one": {"rate_limit": "1/s", "on_success": lambda *_: found.append("x")},
        },
    )
    one = app.task(name="one", rate_limit="9/s", priority=5)(simple)
    assert app.conf.task_annotations
    two = app.task(name="two", queue="q")(simple)
    assert (one.rate_limit, one.priority, two.rate_limit, two.priority, two.queue) == ("1/s", 3, None, 3, "q")
    assert standing(app, one, "a").limit == Limit("one", pace=Pace(interval=1.0))
    assert one.apply(("a",)).successful()
    assert found == ["x"]


def test_an_annotation_that_cannot_be_is_refused_naming_the_task() -> None:
    app = Umbel("wrong", broker="memory://w", set_as_current=False, task_annotations={"one": {"concurrency_limit": 0}})
    app.task(name="one")(simple)
    with pytest.raises(ValueError, match="one: concurrency_limit is 0"):
        _ = app.conf


def test_a_task_without_limits_pays_for_none(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    from umbel import admitting

    def refuse(*_: object) -> None:
        raise AssertionError("a plain call was looked at")

    monkeypatch.setattr(admitting, "_admission", refuse)
    task = app.task(simple)
    assert isinstance(task.delay("a"), AsyncResult)
    assert len(task.delay_many([("a",), ("b",)])) == 2
