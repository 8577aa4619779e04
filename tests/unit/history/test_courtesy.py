"""How a recorder gives way to jobs."""

from collections.abc import Callable

import pytest

from umbel.history.courtesy import MAX_PAUSE_SECONDS, SHARE, Backlog, Courtesy, Ticks, processors


def looks(*found: Ticks | None) -> Callable[[], Ticks | None]:
    """Answers *found*, one after the other."""
    left = list(found)
    return lambda: left.pop(0)


BUSY = (Ticks(1_000, 10_000), Ticks(1_000, 10_100))
IDLE = (Ticks(1_000, 10_000), Ticks(1_050, 10_100))
NOTHING = Backlog(0.0, 0.0)


def test_processors_are_short_when_hardly_one_is_idle() -> None:
    assert Courtesy(looks(*BUSY)).short()
    assert not Courtesy(looks(*IDLE)).short()


def test_a_moment_that_is_too_short_changes_nothing() -> None:
    courtesy = Courtesy(looks(*BUSY, Ticks(1_005, 10_105), Ticks(1_100, 10_200)))
    assert [courtesy.short() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("found", [(None, None), (BUSY[0], None), (None, BUSY[1]), (BUSY[0], BUSY[0])])
def test_where_nothing_is_known_nobody_gives_way(found: tuple[Ticks | None, Ticks | None]) -> None:
    assert not Courtesy(looks(*found)).short()


def test_a_recorder_takes_a_small_share_of_one_processor() -> None:
    took = 0.01
    pause = Courtesy(looks(None)).pause(took, took / 2, NOTHING)
    assert took / (took + pause) == pytest.approx(SHARE)


def test_who_keeps_nobody_waiting_does_not_pause() -> None:
    assert Courtesy(looks(None)).pause(0.01, 0.0099, NOTHING) == 0.0


@pytest.mark.parametrize(
    "backlogs",
    [
        [Backlog(0.0, fill) for fill in (0.0, 0.4, 0.5, 0.6, 0.69, 0.7, 1.0)],
        [Backlog(lag, 0.1) for lag in (0.0, 20.0, 30.0, 45.0, 59.0, 60.0, 600.0)],
    ],
    ids=["fuller", "later"],
)
def test_it_takes_more_the_more_there_is_to_record_and_in_the_end_all(backlogs: list[Backlog]) -> None:
    pauses = [Courtesy(looks(None)).pause(0.01, 0.0, backlog) for backlog in backlogs]
    assert pauses[0] == pauses[1]
    assert pauses[1] > pauses[2] > pauses[3] > pauses[4] > 0.0
    assert pauses[5:] == [0.0, 0.0]


def test_of_a_log_that_cannot_tell_how_full_it_is_more_is_taken_than_of_an_empty_one() -> None:
    pauses = [Courtesy(looks(None)).pause(0.01, 0.0, Backlog(0.0, fill)) for fill in (0.0, None, 0.7)]
    assert pauses[0] > pauses[1] > pauses[2]


def test_no_pause_is_long() -> None:
    assert Courtesy(looks(None)).pause(60.0, 0.1, NOTHING) == MAX_PAUSE_SECONDS


def test_much_is_written_at_once_when_there_is_no_time_or_nobody_waits() -> None:
    courtesy = Courtesy(looks(*BUSY, Ticks(1_000, 10_200), Ticks(1_000, 10_300), Ticks(1_100, 10_400)))
    assert courtesy.little()
    courtesy.pause(0.01, 0.0, Backlog(0.0, 1.0))
    assert not courtesy.little()
    courtesy.pause(0.01, 0.0, NOTHING)
    assert courtesy.little()
    assert not courtesy.little()


def test_this_machine_tells_what_its_processors_do() -> None:
    found = processors()
    assert found is not None
    assert 0 < found.idle < found.all
