"""How a recorder gives way to jobs."""

from collections.abc import Callable

import pytest

from umbel.history.courtesy import MAX_PAUSE_SECONDS, Courtesy, Ticks, processors


def looks(*found: Ticks | None) -> Callable[[], Ticks | None]:
    """Answers *found*, one after the other."""
    left = list(found)
    return lambda: left.pop(0)


BUSY = (Ticks(1_000, 10_000), Ticks(1_000, 10_100))


def test_nobody_pauses_while_processors_are_idle() -> None:
    assert Courtesy(looks(Ticks(1_000, 10_000), Ticks(1_050, 10_100))).pause(2_000, 0.1, 0.0) == 0.0


def test_where_processors_are_short_2000_events_are_written_a_second() -> None:
    assert Courtesy(looks(*BUSY)).pause(2_000, 0.1, 0.0) == pytest.approx(0.9)
    assert Courtesy(looks(*BUSY)).pause(500, 0.05, 0.0) == pytest.approx(0.2)
    assert Courtesy(looks(*BUSY)).pause(500, 0.3, 0.0) == 0.0


def test_more_are_written_the_further_the_history_lags_and_in_the_end_all() -> None:
    pauses = [Courtesy(looks(*BUSY)).pause(2_000, 0.0, lag) for lag in (0.0, 10.0, 20.0, 40.0, 59.0, 60.0, 600.0)]
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[1] == pauses[0]
    assert pauses[1] > pauses[2] > pauses[3] > pauses[4] > 0.0
    assert pauses[5:] == [0.0, 0.0]


def test_no_pause_is_long() -> None:
    assert Courtesy(looks(*BUSY)).pause(1_000_000, 0.1, 0.0) == MAX_PAUSE_SECONDS


@pytest.mark.parametrize("found", [(None, None), (BUSY[0], None), (None, BUSY[1]), (BUSY[0], BUSY[0])])
def test_nobody_pauses_where_nothing_is_known(found: tuple[Ticks | None, Ticks | None]) -> None:
    assert Courtesy(looks(*found)).pause(2_000, 0.1, 0.0) == 0.0


def test_this_machine_tells_what_its_processors_do() -> None:
    found = processors()
    assert found is not None
    assert 0 < found.idle < found.all
