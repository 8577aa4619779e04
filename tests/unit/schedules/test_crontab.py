"""Celery's crontab: its fields, its strings, and what it refuses."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from umbel.schedules import Rule, clocked, cron, crontab, maybe_schedule, parse, schedule

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)  # a Thursday

FIELDS: list[tuple[Any, str, str]] = [
    (crontab(), "* * * * *", "2026-11-26 12:01"),
    (crontab(minute=0, hour=0), "0 0 * * *", "2026-11-27 00:00"),
    (crontab(minute=0, hour="*/3"), "0 */3 * * *", "2026-11-26 15:00"),
    (crontab(minute=0, hour="0,3,6,9,12,15,18,21"), "0 0,3,6,9,12,15,18,21 * * *", "2026-11-26 15:00"),
    (crontab(minute="*/15"), "*/15 * * * *", "2026-11-26 12:15"),
    (crontab(day_of_week="sunday"), "* * * * 0", "2026-11-29 00:00"),
    (crontab(minute="*/10", hour="3,17,22", day_of_week="thu,fri"), "*/10 3,17,22 * * 4,5", "2026-11-26 17:00"),
    (crontab(minute=0, hour="*/2,*/3"), "0 */2,*/3 * * *", "2026-11-26 14:00"),
    (crontab(minute=0, hour="*/3,8-17"), "0 */3,8,9,10,11,12,13,14,15,16,17 * * *", "2026-11-26 13:00"),
    (crontab(0, 0, day_of_month="2"), "0 0 2 * *", "2026-12-02 00:00"),
    (crontab(0, 0, day_of_month="2-30/2"), f"0 0 {','.join(map(str, range(2, 31, 2)))} * *", "2026-11-28 00:00"),
    (crontab(0, 0, day_of_month="11", month_of_year="5"), "0 0 11 5 *", "2027-05-11 00:00"),
    (crontab(0, 0, month_of_year="*/3", day_of_month=1), "0 0 1 */3 *", "2027-01-01 00:00"),
    (crontab(0, 0, month_of_year="nov-feb", day_of_month=1), "0 0 1 1,2,11,12 *", "2026-12-01 00:00"),
    (crontab(0, "22-4"), "0 0,1,2,3,4,22,23 * * *", "2026-11-26 22:00"),
    (crontab(0, 0, "fri-mon"), "0 0 * * 0,1,5,6", "2026-11-27 00:00"),
    (crontab(0, 0, "5-7"), "0 0 * * 0,5,6", "2026-11-27 00:00"),
    (crontab(0, 0, {6, 0}), "0 0 * * 0,6", "2026-11-28 00:00"),
    (crontab(minute=range(10, 13)), "10,11,12 * * * *", "2026-11-26 12:10"),
    (crontab(0, 0, day_of_month=13, day_of_week="fri"), "0 0 13 * 5", "2027-08-13 00:00"),
    (crontab(0, 0, 1, 29, 2), "0 0 29 2 1", "2044-02-29 00:00"),
]


@pytest.mark.parametrize(("rule", "text", "following"), FIELDS, ids=str)
def test_celerys_examples(rule: crontab, text: str, following: str) -> None:
    assert rule.text == f"crontab {text}"
    assert rule.next_after(NOON) == datetime.fromisoformat(following).replace(tzinfo=UTC)
    assert parse(rule.text) == rule


def test_all_days_must_match_while_cron_text_wants_one_of_them() -> None:
    both, either = crontab.from_string("0 0 13 * 5"), cron("0 0 13 * 5")
    assert both.next_after(NOON) == datetime(2027, 8, 13, tzinfo=UTC)
    assert either.next_after(NOON) == datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "61 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *",
     "* * * * 8",
     "", "*", "* * * *", "a * * * *", "*/0 * * * *", "1--100000000 * * * *", "0 0 1-100000000 * *", "1-2-3 * * * *",
     "*/100000000 * * * *", "-1 * * * *", "5/10 * * * x", "@reboot", "1,, * * * *", "mon * * * *", "* * * * monx9",
     "9" * 100_000, "*," * 50_000 + "* * * * *", "\u0661 * * * *"],
    ids=lambda text: text[:20],
)  # fmt: skip
@pytest.mark.parametrize("read", [cron, crontab.from_string, parse])
def test_bad_text_is_refused_at_once(text: str, read: Any) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        read(text)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("value", [True, 1.5, None, object(), [], "", [60], [[61]]])
def test_a_field_that_is_no_field_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="minute is "):
        crontab(minute=value)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(TypeError, match="crontab has no field 'second'"):
        crontab(second=1)


@pytest.mark.parametrize(
    "rule",
    [schedule(30), schedule(timedelta(days=1), relative=True), schedule(0.25), cron("*/5 * * * * *"), cron("@daily"),
     crontab(0, 5), clocked(NOON)],
)  # fmt: skip
def test_a_rule_is_read_back_from_its_text(rule: Rule) -> None:
    assert parse(rule.text) == rule
    assert hash(parse(rule.text)) == hash(rule)
    assert parse(rule.text).next_after(NOON - timedelta(hours=1)) == rule.next_after(NOON - timedelta(hours=1))


@pytest.mark.parametrize("text", ["every", "every x", "every 5 times", "every nan", "every inf", "every -1", "at noon",
                                  "solar sunset 1", "solar sunset a b", "solar midnight 1 2"])  # fmt: skip
def test_text_of_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_what_a_schedule_may_be() -> None:
    assert maybe_schedule(30) == maybe_schedule(timedelta(seconds=30)) == maybe_schedule("every 30") == schedule(30)
    assert maybe_schedule("*/5 * * * *") == cron("*/5 * * * *")
    assert maybe_schedule(crontab()) == crontab()


def test_own_schedule_classes_are_refused_by_name() -> None:
    class Own:
        def is_due(self, last_run_at: datetime) -> tuple[bool, float]:
            return True, 1.0

    with pytest.raises(TypeError, match="is_due of their own are not supported"):
        maybe_schedule(Own())
    with pytest.raises(TypeError, match="give seconds"):
        maybe_schedule(None)
