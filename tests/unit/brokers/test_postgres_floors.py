"""From where on a receive on PostgreSQL looks."""

from __future__ import annotations

import pytest

from umbel.brokers.postgres.floors import EACH_SECONDS, LATEST_SECONDS, NOTHING, SHARE, Floors

PLACES = [("a", 0), ("a", 9), ("b", 9)]
FRONT = f"{{{','.join([str(NOTHING[0])] * 3)}}}", "{0,0,0}"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def at(microseconds: int) -> bytes:
    return microseconds.to_bytes(8, signed=True)


def test_at_first_everything_is_looked_at(clock: Clock) -> None:
    floors = Floors(clock)
    assert floors.values(PLACES) == FRONT
    assert floors.due_in() is None


def test_then_what_is_behind_the_last_job_of_each_queue_and_level(clock: Clock) -> None:
    floors = Floors(clock)
    floors.looked(0.001, [("a", 9, at(5), 1), ("a", 9, at(7), 3), ("b", 9, at(-2), 4)])
    assert floors.values(PLACES) == (f"{{{NOTHING[0]},7,-2}}", "{0,3,4}")
    assert floors.due_in() == EACH_SECONDS


def test_everything_is_looked_at_again_after_a_while_however_much_was_found(clock: Clock) -> None:
    floors = Floors(clock)
    floors.looked(0.001, [("a", 9, at(7), 3)])
    clock.now += EACH_SECONDS / 2
    floors.values(PLACES)
    floors.looked(0.001, [("a", 9, at(8), 4)])
    clock.now += EACH_SECONDS / 2
    assert floors.due_in() == 0.0
    assert floors.values(PLACES) == FRONT
    floors.looked(0.001, [])
    assert floors.due_in() is None, "there is nothing to look for again"


def test_looks_at_everything_are_rarer_the_longer_they_take_than_others(clock: Clock) -> None:
    floors = Floors(clock)
    waits: list[float | None] = []
    for seconds in (0.030, 0.012, 9.0):
        floors.looked(seconds, [("a", 9, at(7), 3)])
        waits.append(floors.due_in())
        floors.values(PLACES)
        floors.looked(0.002, [("a", 9, at(8), 4)])
        clock.now += LATEST_SECONDS
        floors.values(PLACES)
    assert waits == [EACH_SECONDS, pytest.approx(SHARE * 0.010), LATEST_SECONDS]


def test_who_finds_nothing_behind_looks_at_everything_soon(clock: Clock) -> None:
    floors = Floors(clock)
    floors.looked(0.001, [("a", 9, at(7), 3)])
    floors.looked(0.001, [("a", 9, at(8), 3)])
    floors.reset()
    floors.looked(9.0, [("a", 9, at(9), 3)])
    assert floors.due_in() == LATEST_SECONDS
    floors.looked(0.001, [])
    assert floors.due_in() == EACH_SECONDS


def test_what_was_given_back_is_looked_for_at_once(clock: Clock) -> None:
    floors = Floors(clock)
    floors.looked(0.001, [("a", 9, at(7), 3)])
    floors.reset()
    assert floors.values(PLACES) == FRONT
