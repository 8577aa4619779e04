from __future__ import annotations

from umbel.worker.child.quota import Quota


def quota(jobs: int) -> tuple[Quota, list[str]]:
    """A quota, and what it says when it is spent."""
    said: list[str] = []
    return Quota(jobs, lambda: said.append("spent")), said


def test_no_more_jobs_are_asked_for_than_may_begin() -> None:
    made, _ = quota(5)
    assert made.room(3) == 3
    for _ in range(3):
        made.begin()
    assert made.room(3) == 2


def test_a_quota_is_spent_once_and_for_good() -> None:
    made, said = quota(2)
    made.begin()
    assert said == []
    made.begin()
    made.hand_back()
    made.begin()
    assert said == ["spent"]
    made.hand_back()
    assert made.room(3) == 0


def test_a_job_that_is_handed_back_is_not_counted() -> None:
    made, said = quota(2)
    made.begin()
    made.hand_back()
    made.begin()
    assert said == []
    assert made.room(9) == 1
