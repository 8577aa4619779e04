"""Jobs and verdicts as arrays for PostgreSQL."""

from __future__ import annotations

from umbel.brokers.postgres import packing
from umbel.contracts.broker import Ended, Settlement
from umbel.engines.postgres_values import key
from umbel.model.job import Counts, Delivery, Job


def job(number: int, size: int = 1) -> Job:
    return Job(f"job-{number}", "queue", b"x" * size)


def delivery(number: int, received: int = 1) -> Delivery:
    return Delivery(f"job-{number}", "queue", 9, received, b"")


def test_a_thousand_jobs_go_in_parts_in_their_order() -> None:
    jobs = [job(number) for number in range(1_001)]
    parts = list(packing.chunks(jobs))
    assert [each for part in parts for each in part] == jobs
    assert [len(part) for part in parts] == [500, 500, 1]


def test_large_jobs_go_in_smaller_parts() -> None:
    jobs = [job(number, 1024 * 1024) for number in range(12)]
    parts = list(packing.chunks(jobs))
    assert [each for part in parts for each in part] == jobs
    assert max(len(part) for part in parts) <= 5


def test_no_jobs_are_no_part() -> None:
    assert list(packing.chunks([])) == []


def test_of_a_delivery_that_is_named_twice_the_first_verdict_counts() -> None:
    settlements = [Settlement(delivery(1), "retry"), Settlement(delivery(2), "end"), Settlement(delivery(1), "end")]
    assert list(packing.batches(settlements)) == [[0, 1]]


def test_two_receives_of_one_job_are_two_deliveries() -> None:
    settlements = [Settlement(delivery(1, 1), "end"), Settlement(delivery(1, 2), "end")]
    assert list(packing.batches(settlements)) == [[0, 1]]


def test_many_verdicts_and_large_records_go_in_parts() -> None:
    many = [Settlement(delivery(number), "end") for number in range(1_000)]
    assert [len(part) for part in packing.batches(many)] == [512, 488]
    large = [Settlement(delivery(number), "end", record=b"x" * 1024 * 1024) for number in range(9)]
    assert [len(part) for part in packing.batches(large)] == [4, 4, 1]


def test_only_batches_of_plain_ends_take_the_short_way() -> None:
    end = Settlement(delivery(1), "end", record=b"r")
    assert packing.is_plain([end, end])
    assert not packing.is_plain([end, Settlement(delivery(2), "dead")])
    assert not packing.is_plain([Settlement(delivery(1), "end", follow_ups=(job(2),))])


def test_counts_that_are_not_given_are_kept() -> None:
    kept, given = Settlement(delivery(1), "release"), Settlement(delivery(2), "retry", counts=Counts(1, 2, 3))
    retries, crashes, losses = packing.settling([kept, given])[6:9]
    assert (retries, crashes, losses) == ("{-1,1}", "{-1,2}", "{-1,3}")


def test_a_row_of_a_job_that_never_came_back_has_no_counts() -> None:
    first = packing.delivery(("job", "queue", 9, b"body", 0, 0, 0, False, False, None), 7)
    assert first == Delivery("job", "queue", 9, 7, b"body")
    again = packing.delivery(("job", "queue", 9, b"body", 1, 2, 3, True, True, None), 8)
    assert again == Delivery("job", "queue", 9, 8, b"body", Counts(1, 2, 3, marked=True), returned=True)


def test_a_doom_is_told_of_a_job_that_never_came_back_too() -> None:
    doomed = packing.delivery(("job", "queue", 9, b"body", 0, 0, 0, False, False, "revoked"), 1)
    assert doomed == Delivery("job", "queue", 9, 1, b"body", Counts(doom="revoked"))


def test_jobs_for_whose_sake_a_session_was_ended_are_not_charged() -> None:
    ended = [Ended("one", ("a", "b"), (("b", "timeout"),)), Ended("two", ("b",)), Ended("three")]
    assert packing.started(ended) == ("{one,two}", f"{{{key('a')},{key('b')}}}")
    assert packing.dooming(ended) == ("{one}", f"{{{key('b')}}}", '{"timeout"}')
    assert packing.dooming(ended[1:]) is None
