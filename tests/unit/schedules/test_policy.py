"""What is due, what was missed, and where counting begins."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from umbel.model.schedule import Entry, State, key_of
from umbel.schedules.policy import begun, due, next_tick

START = 1_795_000_000_000  # unix ms, a whole minute: 20 s after it
SECOND = 1000
HOUR = 3600 * SECOND


def every(seconds: float = 60, **fields: Any) -> Entry:
    return Entry("tick", f"every {seconds:g}", "task", b"", **fields)


def at_start(entry: Entry, **fields: Any) -> State:
    """The state of a schedule that was first seen at the start."""
    state = begun(entry, None, "app", START)
    assert state is not None
    return msgspec.structs.replace(state, **fields)


def ticks(entry: Entry, now: int, **fields: Any) -> list[int]:
    """Which seconds after the start are due at *now*."""
    found = due(entry, at_start(entry, **fields), START + now * SECOND)
    return [] if found is None else [(tick - START) // SECOND for tick in found.ticks]


def test_nothing_is_due_before_its_time() -> None:
    assert due(every(), at_start(every()), START + 59 * SECOND) is None
    assert ticks(every(), 60) == [60]


def test_a_schedule_is_over_up_to_its_last_tick() -> None:
    found = due(every(), at_start(every()), START + 200 * SECOND)
    assert found is not None
    assert found.last == START + 180 * SECOND


@pytest.mark.parametrize(
    ("policy", "now", "expected"),
    [
        ({}, 69, [60]),
        ({}, 200, [180]),
        ({"misfire": "skip"}, 65, [60]),
        ({"misfire": "skip"}, 200, []),
        ({"misfire": "skip"}, 185, [180]),
        ({"misfire": "all"}, 200, [60, 120, 180]),
        ({"misfire": "all", "limit": 2}, 200, [120, 180]),
        ({"grace": 30}, 100, []),
        ({"grace": 30}, 85, [60]),
        ({"misfire": "all", "grace": 90}, 200, [120, 180]),
        ({"grace": 0.0}, 60, [60]),
        ({"end": START + 130 * SECOND, "misfire": "all"}, 300, [60, 120]),
        ({"end": START + 30 * SECOND}, 300, []),
        ({"start": START + 100 * SECOND}, 99, []),
        ({"start": START + 100 * SECOND}, 100, [100]),
        ({"start": START + 100 * SECOND}, 165, [160]),
    ],
)
def test_missed_ticks(policy: dict[str, Any], now: int, expected: list[int]) -> None:
    assert ticks(every(**policy), now) == expected


def test_ticks_that_are_only_late_are_not_missed() -> None:
    assert ticks(every(1), 10) == list(range(1, 11))
    assert ticks(every(1), 12) == [12]


def test_years_of_missed_ticks_cost_no_time() -> None:
    assert ticks(every(1, misfire="all", limit=3), 10**8) == [10**8 - 2, 10**8 - 1, 10**8]


def test_counting_begins_once() -> None:
    assert begun(every(), at_start(every()), "app", START + HOUR) is None


def test_a_changed_rule_begins_anew_and_other_changes_do_not() -> None:
    state = at_start(every())
    changed = begun(every(30), state, "app", START + HOUR)
    assert changed is not None
    assert (changed.last, changed.anchor) == (START + HOUR, START + HOUR)
    assert begun(every(overlap="skip", jitter=3.0), state, "app", START + HOUR) is None


def test_a_schedule_that_is_enabled_again_catches_up_nothing() -> None:
    disabled = begun(every(enabled=False), at_start(every()), "app", START + SECOND)
    enabled = begun(every(), disabled, "app", START + HOUR)
    assert enabled is not None
    assert enabled.last == START + HOUR


def test_a_changed_rule_keeps_what_is_known_of_the_schedule() -> None:
    state = at_start(every(), runs=7, job="last", paused=True)
    changed = begun(every(30), state, "app", START + HOUR)
    assert changed is not None
    assert (changed.runs, changed.job, changed.paused) == (7, "last", True)


@pytest.mark.parametrize("back", [120, 3600, 86_400])
def test_an_interval_goes_on_when_the_clock_is_set_back(back: int) -> None:
    now = START - back * SECOND
    again = begun(every(1), at_start(every(1)), "app", now)
    assert again is not None
    assert next_tick(every(1), again) == now + SECOND


def test_a_wall_clock_waits_when_the_clock_is_set_back() -> None:
    entry = Entry("tick", "crontab * * * * *", "task", b"")
    assert begun(entry, at_start(entry), "app", START - HOUR) is None
    assert due(entry, at_start(entry), START - HOUR + 90 * SECOND) is None


def test_a_small_step_back_changes_nothing() -> None:
    assert begun(every(1), at_start(every(1)), "app", START - 50 * SECOND) is None


def test_the_key_of_an_entry_is_what_makes_its_ticks() -> None:
    assert key_of(every(60, grace=1.0, queue="q")) == key_of(every(60))
    assert (
        len({key_of(each) for each in (every(60), every(61), every(60, zone="Europe/Berlin"), every(60, start=1))}) == 4
    )
