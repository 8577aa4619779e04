"""What an app should have sent, said by a test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from umbel import Umbel, chain
from umbel.exceptions import EncodeError
from umbel.testing import Captured, capture, eager
from umbel.testing.durations import seconds_of

app = Umbel("captured", broker="memory://captured", set_as_current=False)


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task
def remind(day: date, names: list[str]) -> None:
    """Remind."""


@app.task(bind=True, max_retries=2)
def flaky(self: object) -> int:
    flaky_runs.append(1)
    if len(flaky_runs) < 3:
        raise flaky.retry(countdown=3600, exc=ValueError("not yet"))
    return len(flaky_runs)


@app.task
def fail() -> None:
    raise KeyError("no such thing")


flaky_runs: list[int] = []


@pytest.fixture
def sent() -> Iterator[Captured]:
    with capture(app) as captured:
        yield captured


def test_a_job_is_found_by_whatever_is_named_of_it(sent: Captured) -> None:
    handle = add.apply_async((1, 2), queue="q", countdown=300, priority=4)
    every: list[dict[str, Any]] = [
        {},
        {"args": (1, 2)},
        {"queue": "q"},
        {"within": "5m"},
        {"priority": 4},
        {"id": handle.id},
    ]
    assert {sent.assert_sent(add, **wanted).id for wanted in every} == {handle.id}
    assert sent.assert_sent(add.name).args == (1, 2)


def test_it_makes_no_difference_how_arguments_were_given(sent: Captured) -> None:
    add.delay(1, y=2)
    sent.assert_sent(add, args=(1, 2))
    sent.assert_sent(add, kwargs={"x": 1, "y": 2})
    remind.delay(date(2026, 1, 2), ["a"])
    sent.assert_sent(remind, args=(date(2026, 1, 2), ["a"]))


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"args": (1, 3)}, "y is 2, not 3"),
        ({"args": (1,)}, "y is 2 and was not expected"),
        ({"kwargs": {"x": 1, "y": 2, "z": 3}}, "z is missing"),
        ({"queue": "other"}, "queue is 'q', not 'other'"),
        ({"within": "1m"}, "due in 300 s, not within 1m"),
    ],
)
def test_a_miss_shows_the_nearest_job_and_what_differs(sent: Captured, wanted: dict[str, Any], difference: str) -> None:
    add.apply_async((7, 7), queue="far", countdown=9000)
    add.apply_async((1, 2), queue="q", countdown=300)
    asked: dict[str, Any] = {"args": (1, 2), "queue": "q", **wanted}
    with pytest.raises(AssertionError) as missed:
        sent.assert_sent(add, **asked)
    assert "captured.add(1, 2)" in str(missed.value).replace(add.name, "captured.add")
    assert difference in str(missed.value)


def test_a_miss_of_a_task_that_was_not_sent_shows_what_was(sent: Captured) -> None:
    with pytest.raises(AssertionError, match="nothing was sent at all"):
        sent.assert_sent(add)
    remind.delay(date(2026, 1, 2), [])
    with pytest.raises(AssertionError, match="remind"):
        sent.assert_sent(add)


def test_a_job_that_should_not_have_been_sent_is_shown(sent: Captured) -> None:
    add.delay(1, 2)
    sent.refute_sent(add, args=(2, 1))
    sent.refute_sent(remind)
    with pytest.raises(AssertionError, match=r"add\(1, 2\)"):
        sent.refute_sent(add, args=(1, 2))


def test_how_often_a_job_was_sent_can_be_asked(sent: Captured) -> None:
    add.delay(1)
    add.delay(1)
    sent.assert_sent(add, times=2, args=(1,))
    with pytest.raises(AssertionError, match="2 jobs fit, not 1"):
        sent.assert_sent(add, times=1)
    assert len(sent.jobs(add)) == 2
    sent.clear()
    assert sent.sent == []


def test_a_job_that_is_sent_twice_under_one_id_is_one(sent: Captured) -> None:
    add.apply_async((1,), task_id="once")
    add.apply_async((1,), task_id="once")
    sent.assert_sent(add, times=1)


def test_arguments_are_encoded_and_checked_as_ever(sent: Captured) -> None:
    with pytest.raises(TypeError):
        add.delay()  # type: ignore[call-arg]
    with pytest.raises(EncodeError):
        add.delay(object())  # type: ignore[arg-type]
    assert sent.sent == []


def test_of_a_chain_the_first_job_is_sent(sent: Captured) -> None:
    chain(add.s(1, 2), add.s(3)).delay()
    assert [each.args for each in sent.jobs(add)] == [(1, 2)]


def test_an_eta_counts_as_a_delay(sent: Captured) -> None:
    add.apply_async((1,), eta=datetime.now(UTC) + timedelta(minutes=5))
    sent.assert_sent(add, within="5m")
    sent.refute_sent(add, within="4m")


def test_waiting_for_a_job_that_is_only_captured_is_told_at_once(sent: Captured) -> None:
    with pytest.raises(RuntimeError, match="only captured"):
        add.delay(1).get(timeout=60)


def test_nothing_is_left_behind_when_the_block_ends() -> None:
    before = app.broker
    with capture(app) as first:
        add.delay(1)
        assert app.broker is not before
    assert app.broker is before
    with capture(app) as second:
        assert (len(first.sent), second.sent) == (1, [])


def test_eager_calls_run_in_place_through_codec_and_retries() -> None:
    flaky_runs.clear()
    with eager(app):
        assert add.delay(1, 2).get() == 3
        assert flaky.delay().get() == 3
        with pytest.raises(EncodeError):
            add.delay(object())  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            fail.delay()
    assert not app.conf.task_always_eager


def test_eager_errors_stay_in_the_result_if_that_is_wanted() -> None:
    with eager(app, propagates=False):
        assert fail.delay().state == "FAILURE"


def test_what_does_not_run_in_place_goes_nowhere() -> None:
    with eager(app) as sent:
        app.send_task("elsewhere.task", args=(1,), kwargs={})
        sent.assert_sent("elsewhere.task", args=(1,))


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("1h30m", 5400),
        ("90s", 90),
        ("250ms", 0.25),
        ("1.5 d", 129_600),
        (7, 7),
        (timedelta(minutes=1), 60),
        ("2w", 1_209_600),
    ],
)
def test_a_duration_is_read_as_people_write_it(duration: str, seconds: float) -> None:
    assert seconds_of(duration) == seconds


@pytest.mark.parametrize("duration", ["", "h", "1 hour", "-1s", -1, float("nan"), timedelta(seconds=-1)])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds_of(duration)
