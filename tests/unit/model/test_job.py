from __future__ import annotations

import pytest

from umbel.model.job import Counts, Delivery, Job


@pytest.mark.parametrize(("priority", "level"), [(0, 9), (3, 6), (9, 0)])
def test_a_higher_priority_is_a_lower_level(priority: int, level: int) -> None:
    assert Job("id", "queue", b"", priority).level == level


def test_a_job_is_ready_at_once_unless_told_otherwise() -> None:
    job = Job("id", "queue", b"")
    assert (job.priority, job.delay, job.eta) == (0, 0.0, None)


def test_a_first_delivery_has_nothing_counted() -> None:
    delivery = Delivery("id", "queue", 9, 1, b"")
    assert delivery.counts == Counts(retries=0, crashes=0, losses=0, marked=False)
    assert not delivery.returned


def test_jobs_and_deliveries_are_values() -> None:
    assert Job("id", "queue", b"") == Job("id", "queue", b"")
    assert len({Delivery("id", "queue", 9, 1, b""), Delivery("id", "queue", 9, 1, b"")}) == 1
    with pytest.raises(AttributeError):
        Job("id", "queue", b"").id = "other"  # type: ignore[misc]
