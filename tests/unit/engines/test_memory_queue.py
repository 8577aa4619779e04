from __future__ import annotations

from umbel.engines.memory_queue import Entry, Queue
from umbel.model.job import FIRST, Counts


def filled(*job_ids: str) -> Queue:
    """A queue with these jobs in one level, all held by one session in this order."""
    queue = Queue()
    queue.open("session", 10.0, b"")
    for number, job_id in enumerate(job_ids):
        queue.jobs[job_id] = Entry(9, b"")
        queue.sessions["session"].held[job_id] = number
    return queue


def test_jobs_of_a_dead_session_return_in_the_order_they_had() -> None:
    queue = filled("1", "2", "3")
    assert queue.declare_dead("session", 200, lambda _, __: FIRST) == 3
    assert list(queue.ready[9]) == ["1", "2", "3"]


def test_jobs_due_at_the_same_moment_come_in_the_order_they_were_sent() -> None:
    queue = filled("2", "1", "3")
    for job_id in ("2", "1", "3"):
        queue.place(job_id, 9, 5.0, 0.0)
    assert queue.promote(5.0, 200) == 3
    assert list(queue.ready[9]) == ["2", "1", "3"]


def test_charges_add_up_and_end_a_mark() -> None:
    entry = Entry(9, b"", Counts(1, 2, 3, marked=True))
    entry.charge(Counts(crashes=1))
    assert entry.counts == Counts(1, 3, 3)


def test_times_to_come_are_known_or_none() -> None:
    queue = Queue()
    assert (queue.next_due(), queue.next_deadline()) == (None, None)
    queue = filled("1", "2")
    queue.place("1", 9, 7.0, 0.0)
    assert (queue.next_due(), queue.next_deadline()) == (7.0, 10.0)


def test_a_dead_session_with_jobs_left_is_due_at_once() -> None:
    queue = filled("1", "2")
    queue.declare_dead("session", 1, lambda _, __: FIRST)
    assert queue.next_deadline() == 0.0
    queue.declare_dead("session", 1, lambda _, __: FIRST)
    assert queue.next_deadline() is None
