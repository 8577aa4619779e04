"""Intervals, solar events, single moments; and finding the latest ticks without walking through all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.schedules import Rule, clocked, cron, crontab, schedule, solar, zone_of

START = datetime(2026, 11, 26, 12, 34, 56, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@given(every=st.floats(0.1, 1e6), passed=st.floats(0, 1e7))
def test_an_interval_counts_from_its_anchor_without_drift(every: float, passed: float) -> None:
    rule = schedule(every)
    moment = START + timedelta(seconds=passed)
    tick = rule.next_after(moment, START)
    assert tick is not None
    assert moment < tick <= moment + rule.run_every + timedelta(milliseconds=1)
    assert ((tick - START) / rule.run_every) == pytest.approx(round((tick - START) / rule.run_every))


@pytest.mark.parametrize(
    ("every", "following"),
    [
        (timedelta(days=1), ["27 00:00:00", "28 00:00:00"]),
        (timedelta(days=2), ["28 00:00:00", "30 00:00:00"]),
        (timedelta(hours=2), ["26 15:00:00", "26 17:00:00"]),
        (timedelta(minutes=5), ["26 13:39:00", "26 13:44:00"]),
        (timedelta(seconds=30), ["26 13:35:26", "26 13:35:56"]),
    ],
)
def test_a_relative_interval_is_rounded_to_its_unit_as_celery_does(every: timedelta, following: list[str]) -> None:
    rule = schedule(every, relative=True)
    first = rule.next_after(START.astimezone(BERLIN))
    assert first is not None
    second = rule.next_after(first, START)
    assert second is not None
    assert [f"{tick:%d %H:%M:%S}" for tick in (first, second)] == following


def test_days_of_a_relative_interval_are_as_long_as_clocks_make_them() -> None:
    rule, anchor = schedule(timedelta(days=1), relative=True), datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    first = rule.next_after(anchor)
    assert first is not None
    assert first == datetime(2026, 3, 29, tzinfo=BERLIN)
    second = rule.next_after(first, anchor)
    assert second == datetime(2026, 3, 30, tzinfo=BERLIN)
    assert second is not None
    assert second.astimezone(UTC) - first.astimezone(UTC) == timedelta(hours=23)


@pytest.mark.parametrize("value", [0, -1, 0.01, 1e12, float("nan"), float("inf"), True, "5", None, timedelta(0)])
def test_what_is_no_interval_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="run_every is "):
        schedule(value)


def test_once_is_once() -> None:
    rule = clocked(START)
    assert rule.next_after(START - timedelta(days=1)) == START
    assert rule.next_after(START) is None
    with pytest.raises(TypeError, match="give a datetime"):
        clocked(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "expected"),  # Greenwich on the longest day; the almanac says 03:43, 12:02, 20:21 and so on
    [
        ("dawn_civil", "02:57"),
        ("sunrise", "03:43"),
        ("solar_noon", "12:02"),
        ("sunset", "20:21"),
        ("dusk_civil", "21:08"),
        ("dusk_nautical", "22:24"),
    ],
)
def test_the_sun_is_where_the_almanac_has_it(event: str, expected: str) -> None:
    tick = solar(event, 51.48, 0.0).next_after(datetime(2026, 6, 21, 0, 30, tzinfo=UTC))
    assert tick is not None
    almanac = datetime.fromisoformat(f"2026-06-21 {expected}").replace(tzinfo=UTC)
    assert abs(tick - almanac) < timedelta(minutes=3)


def test_days_without_the_event_are_skipped_and_each_day_has_one() -> None:
    rule = solar("sunrise", 78.2, 15.6)  # Longyearbyen: no sunrise from late October to mid February
    first = rule.next_after(datetime(2026, 11, 1, tzinfo=UTC))
    assert first is not None
    assert first.month == 2
    second = rule.next_after(first)
    assert second is not None
    assert timedelta(hours=20) < second - first < timedelta(hours=28)


@pytest.mark.parametrize(
    ("event", "lat", "lon"), [("midnight", 0, 0), ("sunset", 91, 0), ("sunset", 0, -181), ("sunset", "0", 0)]
)
def test_what_is_no_place_or_event_is_refused(event: str, lat: Any, lon: Any) -> None:
    with pytest.raises(ValueError, match="give "):
        solar(event, lat, lon)


rules: st.SearchStrategy[Rule] = st.sampled_from(
    (schedule(7), schedule(0.3), crontab(minute="*/5"), crontab(30, 2), cron("* * 3 * * *"), clocked(START))
)


@given(rule=rules, count=st.integers(1, 5), before=st.integers(1, 3000), length=st.integers(1, 2000))
def test_the_latest_ticks_are_the_last_of_all(rule: Rule, count: int, before: int, length: int) -> None:
    end = round((START + timedelta(seconds=1500 - before)).timestamp() * 1000)
    span = (end - length * 1000, end)
    assert rule.latest(count, span, BERLIN, 0) == list(rule.ticks(*span, BERLIN, 0))[-count:]


def test_the_latest_tick_of_years_is_found_without_walking_through_them() -> None:
    end = round(START.timestamp() * 1000)
    assert schedule(1).latest(2, (0, end), UTC, 0) == [end - 1000, end]


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe", "x" * 10_000])
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        zone_of(name)
