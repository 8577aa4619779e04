"""Schedules in code: beat_schedule, add_periodic_task, the signals; what they become, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from umbel import Umbel
from umbel.exceptions import ImproperlyConfigured
from umbel.model.schedule import Entry
from umbel.schedules import crontab, schedule
from umbel.wire import envelope


@pytest.fixture
def app() -> Umbel:
    made = Umbel("shop", broker="memory://periodic", set_as_current=False)

    @made.task(name="shop.add", queue="sums", priority=3)
    def add(x: int, y: int = 0) -> int:
        return x + y

    @made.task(name="shop.late", expires=60)
    def late() -> None:
        pass

    return made


def only(app: Umbel) -> Entry:
    (entry,) = app.periodic.entries()
    return entry


def arguments(entry: Entry) -> tuple[bytes, bytes]:
    read = envelope.decode(entry.envelope)
    return bytes(read.args), bytes(read.kwargs)


def test_an_entry_with_celerys_keys_becomes_a_schedule(app: Umbel) -> None:
    app.conf.timezone = "Europe/Berlin"
    app.conf.beat_schedule = {
        "add every 30 seconds": {
            "task": "shop.add",
            "schedule": timedelta(seconds=30),
            "args": (16, 16),
            "options": {"queue": "other", "priority": 9, "expires": 15.0, "countdown": 2},
        }
    }
    entry = only(app)
    assert (entry.name, entry.rule, entry.task) == ("add every 30 seconds", "every 30", "shop.add")
    assert (entry.queue, entry.priority, entry.expires, entry.countdown) == ("other", 9, 15.0, 2.0)
    assert entry.zone == "Europe/Berlin"
    assert arguments(entry) == (b"\x92\x10\x10", b"\x80")


def test_what_the_entry_leaves_out_the_task_says(app: Umbel) -> None:
    app.add_periodic_task(crontab(minute=0), "shop.add", args=(1,), name="sum")
    entry = only(app)
    assert (entry.queue, entry.priority, entry.zone) == ("sums", 3, "UTC")


def test_a_task_that_expires_does_so_some_time_after_its_tick(app: Umbel) -> None:
    app.add_periodic_task(60, "shop.late")
    entry = only(app)
    assert entry.expires == 60.0
    assert envelope.decode(entry.envelope).expires is None


def test_an_absolute_expiry_stays_what_it_is(app: Umbel) -> None:
    app.add_periodic_task(60, "shop.add", args=(1,), expires=datetime(2030, 1, 1, tzinfo=UTC))
    assert envelope.decode(only(app).envelope).expires == datetime(2030, 1, 1, tzinfo=UTC).timestamp()


def test_two_processes_make_the_same_template(app: Umbel) -> None:
    app.add_periodic_task(60, "shop.add", args=(1,), name="sum")
    assert app.periodic.entries() == app.periodic.entries()


def test_policies_are_taken_from_entries_and_keywords_alike(app: Umbel) -> None:
    policies: dict[str, Any] = {
        "misfire": "run_all", "misfire_limit": 5, "grace": timedelta(minutes=1), "overlap": "skip", "jitter": 3,
        "timezone": "Asia/Tokyo", "start": datetime(2026, 1, 1, tzinfo=UTC), "enabled": False,
    }  # fmt: skip
    app.conf.beat_schedule = {"a": {"task": "shop.add", "schedule": 5, "args": (1,), **policies}}
    app.add_periodic_task(5, "shop.add", args=(1,), name="b", **policies)
    first, second = app.periodic.entries()
    assert (first.misfire, first.limit, first.grace, first.overlap, first.jitter) == ("all", 5, 60.0, "skip", 3.0)
    assert (first.zone, first.start, first.enabled) == ("Asia/Tokyo", 1_767_225_600_000, False)
    assert {**vars_of(first), "name": ""} == {**vars_of(second), "name": ""}


def vars_of(entry: Entry) -> dict[str, Any]:
    return {field: getattr(entry, field) for field in entry.__struct_fields__}


def test_relative_is_celerys(app: Umbel) -> None:
    app.conf.beat_schedule = {"a": {"task": "shop.add", "schedule": timedelta(days=1), "args": (1,), "relative": True}}
    assert only(app).rule == schedule(timedelta(days=1), relative=True).text


def test_the_starting_deadline_is_for_cron_alone(app: Umbel) -> None:
    app.conf.beat_cron_starting_deadline = 90
    app.add_periodic_task(crontab(), "shop.add", args=(1,), name="cron")
    app.add_periodic_task(30, "shop.add", args=(1,), name="interval")
    assert [entry.grace for entry in app.periodic.entries()] == [90.0, None]


class Signed:
    """What a signature looks like."""

    subtask_type: str | None = None
    task = "shop.add"
    args = (2,)
    kwargs: ClassVar[dict[str, Any]] = {"y": 3}
    options: ClassVar[dict[str, Any]] = {"queue": "signed"}


def test_a_signature_brings_its_arguments_and_options(app: Umbel) -> None:
    name = app.add_periodic_task(30, Signed())
    entry = only(app)
    assert name == entry.name == "shop.add(2, y=3)"
    assert (entry.task, entry.queue) == ("shop.add", "signed")
    assert arguments(entry) == (b"\x91\x02", b"\x81\xa1y\x03")


def test_a_canvas_is_refused(app: Umbel) -> None:
    flow = Signed()
    flow.subtask_type = "chain"
    with pytest.raises(TypeError, match="sends one job, not a chain"):
        app.add_periodic_task(30, flow)


def test_of_two_without_a_name_the_later_counts_with_a_warning(app: Umbel, caplog: pytest.LogCaptureFixture) -> None:
    app.add_periodic_task(30, "shop.late")
    app.add_periodic_task(60, "shop.late")
    assert only(app).rule == "every 60"
    assert "two schedules are called shop.late()" in caplog.text


def test_receivers_of_the_apps_signals_may_name_any_task(app: Umbel) -> None:
    seen: list[str] = []

    @app.on_after_configure.connect
    def configure(sender: Umbel, **_: object) -> None:
        seen.append("configured")
        sender.add_periodic_task(10, sender.tasks["shop.late"], name="from a signal")

    @app.on_after_finalize.connect(weak=False)
    def finalize(**_: object) -> None:
        seen.append("complete")

    app.load_tasks()
    app.load_tasks()
    assert seen == ["configured", "complete"]
    assert only(app).name == "from a signal"


def test_a_receiver_is_connected_once_and_can_leave(app: Umbel) -> None:
    seen: list[int] = []

    def receiver(**_: object) -> None:
        seen.append(1)

    app.on_after_configure.connect(receiver)
    app.on_after_configure.connect(receiver)
    app.on_after_configure.send(app)
    assert app.on_after_configure.disconnect(receiver)
    assert not app.on_after_configure.disconnect(receiver)
    app.on_after_configure.send(app)
    assert seen == [1]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"task": "a"}, "has no 'schedule'"),
        ({"task": "a", "schedule": 1, "args": 5}, "a: args is 5: give a tuple"),
        ({"task": "a", "schedule": 1, "kwargs": [1]}, "a: kwargs is [1]: give a dict"),
        ({"schedule": 1}, "has no 'task'"),
        (3, "give a dict"),
        ({"task": "a", "schedule": "0 0 31 2 *"}, "cannot be read as cron text"),
        ({"task": "a", "schedule": 0}, "give 0.1 seconds or more"),
        ({"task": "a", "schedule": 1, "overlp": 1}, "did you mean 'overlap'"),
        ({"task": "a", "schedule": 1, "overlap": "never"}, "overlap is 'never': give allow, skip, queue"),
        ({"task": "a", "schedule": 1, "misfire": 5}, "misfire is 5: give once, skip, all"),
        ({"task": "a", "schedule": 1, "misfire_limit": 0}, "misfire_limit is 0"),
        ({"task": "a", "schedule": 1, "grace": -1}, "grace is -1"),
        ({"task": "a", "schedule": 1, "jitter": float("nan")}, "jitter is nan"),
        ({"task": "a", "schedule": 1, "timezone": "Moon"}, "'Moon' is no time zone"),
        ({"task": "a", "schedule": 1, "start": "soon"}, "schedule 'x': Invalid isoformat"),
        ({"task": "a", "schedule": 1, "end": 5}, "end is 5: give a datetime"),
        ({"task": "a", "schedule": 1, "start": "2030-01-02", "end": "2030-01-01"}, "is before its start"),
        ({"task": "a", "schedule": 1, "enabled": "yes"}, "enabled is 'yes'"),
    ],
)
def test_a_wrong_entry_is_refused_where_it_is_written(app: Umbel, entry: Any, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        app.conf.beat_schedule = {"x": entry}
    assert "schedule 'x'" in str(refusal.value)
    assert reason in str(refusal.value)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x00"])
def test_a_name_that_cannot_be_shown_is_refused(app: Umbel, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="cannot name a schedule"):
        app.conf.beat_schedule = {name: {"task": "a", "schedule": 1}}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"task": "shop.add", "schedule": 1}, r"schedule 'x': .*missing"),
        ({"task": "shop.add", "schedule": 1, "args": (object(),)}, "schedule 'x': "),
        ({"task": "shop.late", "schedule": 1, "options": {"eta": datetime.now(UTC)}}, "a periodic job has no eta"),
        ({"task": "shop.late", "schedule": 1, "options": {"task_id": "a"}}, "a periodic job has no task_id"),
        ({"task": "shop.late", "schedule": 1, "options": {"queu": "a"}}, "queu"),
        ({"task": 5, "schedule": 1}, "task is 5"),
    ],
)
def test_a_job_that_cannot_be_sent_is_refused_when_the_app_is_loaded(app: Umbel, entry: Any, reason: str) -> None:
    app.conf.beat_schedule = {"x": entry}
    with pytest.raises(ImproperlyConfigured, match=reason):
        app.periodic.entries()


def test_schedules_that_are_too_large_together_are_refused(app: Umbel) -> None:
    for number in range(5):
        app.add_periodic_task(60, "elsewhere", args=("x" * 500_000,), name=str(number))
    with pytest.raises(ImproperlyConfigured, match=r"take 2,50.* bytes, more than 2,097,152"):
        app.periodic.entries()


def test_settings_of_celery_that_tune_nothing_are_accepted(app: Umbel) -> None:
    app.conf.update(beat_scheduler="x:Y", beat_schedule_filename="z", enable_utc=True)
    assert {"beat_scheduler", "beat_schedule_filename", "enable_utc"} <= set(app.conf.moot)
