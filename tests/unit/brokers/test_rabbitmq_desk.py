"""When a message that found its job held elsewhere looks again: pure."""

from __future__ import annotations

import pytest

from umbel.brokers.rabbitmq.desk import until_next_look


@pytest.mark.parametrize("left", [0.0, 0.2, 3.9, 4.0, 15.0, 600.0])
def test_the_first_look_comes_after_a_second(left: float) -> None:
    assert until_next_look(0, left) == 1.0


@pytest.mark.parametrize(
    ("left", "seconds"), [(0.0, 1.0), (3.9, 1.0), (4.0, 4.0), (4.2, 5.0), (15.0, 5.0), (600.0, 5.0)]
)
def test_a_later_look_comes_within_five_seconds_and_each_second_when_the_lease_is_about_to_lapse(
    left: float, seconds: float
) -> None:
    assert until_next_look(1, left) == until_next_look(7, left) == seconds
