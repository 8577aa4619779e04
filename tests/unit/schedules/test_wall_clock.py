"""Wall-clock rules against the plain model and against cronsim, above all where clocks are changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.schedules.wall_clock import ZONES, changes, ticks
from umbel.schedules import Rule, cron, crontab

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, tzinfo=BERLIN)  # 02:00 becomes 03:00
AUTUMN = datetime(2026, 10, 25, tzinfo=BERLIN)  # 03:00 becomes 02:00


def following(rule: Rule, start: datetime, end: datetime) -> Iterator[datetime]:
    """The ticks of *rule* after *start*, up to *end*, in UTC."""
    tick = rule.next_after(start)
    while tick is not None and tick <= end:
        yield tick.astimezone(UTC)
        tick = rule.next_after(tick)


def clocks(rule: Rule, day: datetime) -> list[str]:
    """What the clock shows at the ticks of a *day*, with the offset."""
    end = day + timedelta(days=1)
    found = following(rule, day - timedelta(minutes=1), end - timedelta(minutes=1))
    return [f"{tick.astimezone(BERLIN):%H:%M%z}" for tick in found]


@pytest.mark.parametrize(
    ("day", "rule", "expected"),
    [
        pytest.param(SPRING, crontab(30, 2), ["03:00+0200"], id="a skipped time runs after the gap"),
        pytest.param(SPRING, crontab("0,30", "2,3"), ["03:00+0200", "03:30+0200"], id="and once with another"),
        pytest.param(SPRING, crontab(30, "*/2"),
                     [f"{hour:02}:30+0{2 - (hour < 2)}00" for hour in range(0, 24, 2) if hour != 2],
                     id="with * it is left out"),
        pytest.param(AUTUMN, crontab(30, 2), ["02:30+0200"], id="a repeated time runs the first time"),
        pytest.param(AUTUMN, crontab(30, "1-3"), ["01:30+0200", "02:30+0200", "03:30+0100"], id="also in a range"),
        pytest.param(AUTUMN, crontab("*/30", 2), ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"],
                     id="with * it runs both times"),
        pytest.param(AUTUMN, cron("0 30 2 * * *"), ["02:30+0200", "02:30+0100"], id="with seconds both times too"),
        pytest.param(AUTUMN, cron("30 2 * * *"), ["02:30+0200"], id="cron text is like crontab"),
    ],
)  # fmt: skip
def test_summer_time(day: datetime, rule: Rule, expected: list[str]) -> None:
    assert clocks(rule, day) == expected


def test_a_repeated_time_does_not_run_again_when_asked_between() -> None:
    between = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert crontab(30, 2).next_after(between) == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN)


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Moments of these years, in UTC."""
    ends = [int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (first, last + 1)]
    return st.integers(*ends).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


parts = st.one_of(
    st.just("*"),
    st.sampled_from((2, 5, 15, 20, 30)).map(lambda step: f"*/{step}"),
    st.integers(0, 4).map(str),
    st.lists(st.integers(0, 23), min_size=1, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
)


@settings(max_examples=30)
@given(zone=st.sampled_from(ZONES), minute=parts, hour=parts, days=st.sampled_from(("*", "0,1,6")), data=st.data())
def test_crontab_is_what_the_rules_say_around_changes_of_clocks(
    zone: str, minute: str, hour: str, days: str, data: st.DataObject
) -> None:
    change = data.draw(st.sampled_from(changed(zone)))
    before = timedelta(minutes=data.draw(st.integers(0, 300)))
    start = (change - before).astimezone(ZoneInfo(zone)).replace(second=0)
    end = change + timedelta(hours=7)
    rule = crontab(minute, hour, days)
    assert list(following(rule, start, end)) == ticks(rule, start, end)


@cache
def changed(zone: str) -> list[datetime]:
    return changes(zone, 2011, 2013) or [datetime(2013, 6, 1, tzinfo=UTC)]


texts = st.tuples(
    st.sampled_from(("", "*/7 ", "0,30 ", "59 ")),
    st.sampled_from(("*", "*/15", "0", "30", "5-50/9")),
    st.sampled_from(("*", "*/6", "2", "0-3", "3,22")),
    st.sampled_from(("*", "L", "LW", "1", "10-20", "*/7")),
    st.sampled_from(("*", "3,10", "3,11")),
    st.sampled_from(("*", "0", "1#2", "5L", "MON-FRI")),
).map(lambda fields: fields[0] + " ".join(fields[1:]))


@settings(max_examples=30)
@given(
    text=texts,
    zone=st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Tokyo")),
    start=moments(2019, 2022),
)
def test_cron_text_ticks_as_cronsim_does(text: str, zone: str, start: datetime) -> None:
    local = start.astimezone(ZoneInfo(zone))
    expected = CronSim(text, local)
    tick: datetime | None = local
    for _ in range(20):
        assert tick is not None
        tick = cron(text).next_after(tick)
        assert tick == next(expected)


@settings(max_examples=30)
@given(zone=st.sampled_from(ZONES), moment=moments(2005, 2037))
def test_the_next_tick_is_later_and_none_is_between(zone: str, moment: datetime) -> None:
    start = moment.astimezone(ZoneInfo(zone))
    for rule in (crontab(30, 2), crontab(minute="*/10"), cron("15 30 1 * * SUN")):
        tick = rule.next_after(start)
        assert tick is not None
        assert tick > start
        assert rule.next_after(start + (tick - start) / 2) == tick
