"""The age of the oldest ready job, as a chart has it."""

from __future__ import annotations

from umbel.dashboard.figures import ages
from umbel.history.views import QueueSample


def test_where_nothing_was_ready_the_oldest_has_no_age_and_what_nobody_knows_is_a_gap() -> None:
    def sample(ready: int, oldest: float | None) -> QueueSample:
        return QueueSample(0.0, ready, 0, 0, 0, 0, 0, oldest, paused=False)

    assert ages([sample(3, 2.5), sample(0, None), sample(3, None)]) == [2.5, 0.0, None]
