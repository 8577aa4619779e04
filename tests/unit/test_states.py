"""Celery's order of states."""

from __future__ import annotations

from umbel import states


def test_states_are_ordered_as_in_celery_with_custom_ones_after_the_failures() -> None:
    mixed = ["PROGRESS", "PENDING", "SUCCESS", "REVOKED", "FAILURE", "RETRY", "STARTED", "RECEIVED", "REJECTED"]
    order = ["PENDING", "RETRY", "REJECTED", "RECEIVED", "STARTED", "REVOKED", "PROGRESS", "FAILURE", "SUCCESS"]
    assert sorted(map(states.state, mixed)) == order
    assert [states.precedence(each) for each in order] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert states.state("SUCCESS") > "FAILURE" >= states.state("FAILURE") <= "FAILURE"
    assert not states.state("PENDING") > "STARTED"


def test_the_sets_are_celerys() -> None:
    assert {"PENDING", "RECEIVED", "STARTED", "REJECTED", "RETRY"} == states.UNREADY_STATES
    assert {"PENDING", "RECEIVED", "STARTED", "SUCCESS", "FAILURE", "RETRY", "REVOKED"} == states.ALL_STATES
