"""The benchmark of schedules sees a tick that is missing, doubled or run again after a kill."""

from __future__ import annotations

from benchmarks.ticks import SCHEDULES, Run, Ticked, count

SECONDS = 3


def complete() -> list[Run]:
    """One run of each tick of three seconds, 50 ms late; each schedule has a phase of its own."""
    return [
        Run(f"s{number}", tick, f"{number}-{second}", 1, tick + 0.05)
        for number in range(SCHEDULES)
        for second in range(SECONDS)
        if (tick := 1000 + second + number / SCHEDULES)
    ]


def counted(runs: list[Run]) -> Ticked:
    """What is told of *runs*, whose jobs were sent 20 ms late."""
    return count("all", runs, {run.job: run.tick + 0.02 for run in runs}, 1000.0, SECONDS)


def test_all_ticks_are_there_once() -> None:
    found = counted(complete())
    assert (found.ticks, found.missing, found.doubled, found.again) == (SECONDS * SCHEDULES, 0, 0, 0)
    assert round(found.sent.p99) == 20
    assert round(found.ran.most) == 50


def test_a_tick_without_a_job_is_missing() -> None:
    runs = complete()
    del runs[4]
    assert counted(runs).missing == 1


def test_a_schedule_that_never_ticks_is_missing() -> None:
    assert counted(complete()[SECONDS:]).missing >= 1


def test_a_tick_with_two_jobs_is_doubled() -> None:
    runs = complete()
    assert counted([*runs, runs[7]._replace(job="another")]).doubled == 1
    assert counted([*runs, runs[7]]).doubled == 1, "the same job, sent again after it had ended"


def test_a_job_that_comes_again_after_a_kill_is_not_doubled() -> None:
    runs = complete()
    found = counted([*runs, runs[7]._replace(delivery=2)])
    assert (found.doubled, found.again) == (0, 1)
