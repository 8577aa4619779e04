"""How many jobs a child may ask for: as many as can start at once, and more only while they have proved short."""

from __future__ import annotations

from itertools import pairwise

import pytest

from umbel.worker.child.pace import LAST_PROBE_SECONDS, MAX_AHEAD, Pace


def only_def(threads: int = 1) -> Pace:
    return Pace(threads, 100, has_def=True, has_async=False)


def test_a_child_that_has_measured_nothing_asks_for_its_free_slots_only() -> None:
    assert only_def(threads=3).room(0.0) == 3


def test_a_busy_child_asks_for_nothing() -> None:
    pace = only_def()
    pace.started()
    assert pace.room(0.0) == 0
    assert pace.probe_in(0.0) is None


def test_a_quiet_child_asks_for_nothing_although_it_is_free() -> None:
    pace = Pace(1, 100, has_def=True, has_async=True)
    pace.quiet = True
    assert (pace.room(0.0), pace.probe_in(0.0)) == (0, None)
    pace.quiet = False
    assert pace.room(0.0) > 0


def test_short_jobs_are_asked_for_ahead_up_to_the_limit() -> None:
    pace = only_def()
    pace.started()
    pace.done(0.00001)
    assert pace.room(0.0) == 1 + MAX_AHEAD


def test_jobs_of_a_millisecond_are_asked_for_by_the_time_they_take() -> None:
    pace = only_def()
    pace.started()
    pace.done(0.001)
    assert 20 <= pace.room(0.0) <= 40


def test_long_jobs_are_never_asked_for_ahead() -> None:
    pace = only_def()
    pace.started()
    pace.done(0.5)
    assert pace.room(0.0) == 1


def test_one_long_job_among_short_ones_stops_asking_ahead_for_a_while() -> None:
    pace = only_def()
    for seconds in (0.0001, 0.0001, 2.0):
        pace.started()
        pace.done(seconds)
    assert pace.room(0.0) == 1
    for _ in range(60):
        pace.started()
        pace.done(0.0001)
    assert pace.room(0.0) > 1


def test_a_child_refills_before_it_runs_dry_but_not_job_by_job() -> None:
    pace = only_def()
    pace.started()
    pace.done(0.00001)
    for _ in range(MAX_AHEAD + 1):
        pace.started()
    assert pace.room(0.0) == 0
    for _ in range(MAX_AHEAD // 4):
        pace.done(0.00001)
    assert pace.room(0.0) == 0
    for _ in range(MAX_AHEAD // 2):
        pace.done(0.00001)
    assert pace.room(0.0) > MAX_AHEAD // 2


def test_after_a_hand_back_nothing_is_asked_ahead() -> None:
    pace = only_def()
    pace.started()
    pace.done(0.00001)
    pace.started()
    pace.started()
    pace.handed_back(0.0)
    assert pace.waiting == 0
    pace.done(3.0)
    assert pace.room(0.0) == 1


def test_an_app_without_def_tasks_asks_for_its_async_slots() -> None:
    pace = Pace(1, 10, has_def=False, has_async=True)
    assert pace.room(0.0) == 10
    pace.started_async()
    assert pace.room(0.0) == 9


def test_an_app_without_async_tasks_has_no_async_slots_to_ask_for() -> None:
    assert only_def().room(0.0) == 1


def test_a_mixed_app_asks_for_more_as_async_jobs_turn_up() -> None:
    pace = Pace(1, 50, has_def=True, has_async=True)
    assert pace.room(0.0) == 1
    for _ in range(100):
        pace.started_async()
        pace.done_async()
    assert pace.room(0.0) == 50


def test_a_mixed_app_whose_threads_are_taken_probes_for_async_jobs_ever_more_rarely() -> None:
    pace = Pace(1, 50, has_def=True, has_async=True)
    pace.started()
    now, asked = 0.0, []
    for _ in range(8):
        assert pace.room(now) == 1
        assert pace.room(now) == 0
        pace.started()
        pace.handed_back(now)
        wait = pace.probe_in(now)
        assert wait is not None
        asked.append(wait)
        now += wait + 0.001
    assert all(later > earlier - 1e-6 for earlier, later in pairwise(asked))
    assert asked[0] < asked[-1] == pytest.approx(LAST_PROBE_SECONDS)


def test_a_mixed_app_whose_async_slots_are_taken_asks_for_no_more_than_its_threads() -> None:
    pace = Pace(2, 3, has_def=True, has_async=True)
    pace.started()
    pace.done(0.00001)
    assert pace.room(0.0) == 2 + MAX_AHEAD
    for _ in range(3):
        pace.started_async()
    assert pace.waiting_async == 0
    assert pace.room(0.0) == 2


def test_after_a_hand_back_of_async_jobs_it_asks_ever_more_rarely_until_a_slot_is_free() -> None:
    pace = Pace(1, 1, has_def=True, has_async=True)
    pace.started_async()
    now, waits = 0.0, []
    for _ in range(7):
        assert pace.room(now) == 1
        pace.started_async()
        assert pace.waiting_async == 1
        pace.handed_back_async(now)
        assert pace.room(now) == 0
        wait = pace.probe_in(now)
        assert wait is not None
        waits.append(wait)
        now += wait + 0.001
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] == pytest.approx(LAST_PROBE_SECONDS)
    pace.started_async()
    pace.handed_back_async(now)
    pace.done_async()
    assert pace.room(now) == 1


def test_when_all_threads_and_async_slots_are_taken_it_waits_for_one_of_them() -> None:
    pace = Pace(1, 1, has_def=True, has_async=True)
    pace.started()
    pace.started_async()
    assert pace.room(100.0) == 0
    assert pace.probe_in(100.0) is None
