from __future__ import annotations

import time

from umbel.testing import Clock


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = Clock()
    assert clock() == clock()
    before = clock()
    clock.advance(2.5)
    assert clock() == before + 2.5


def test_a_clock_starts_at_a_whole_second_near_now() -> None:
    assert Clock()() == int(Clock()())
    assert abs(Clock()() - time.time()) < 2


def test_a_clock_can_be_set_back() -> None:
    clock = Clock(100.0)
    clock.advance(-50.0)
    assert clock() == 50.0
