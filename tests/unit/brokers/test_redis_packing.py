"""How jobs and verdicts become arguments: what goes together in a call, and what does not."""

from __future__ import annotations

import pytest

from umbel.brokers.redis.packing import batches, counts_of, counts_text
from umbel.contracts.broker import Kind, Settlement
from umbel.engines.redis_jobs import chunks, posted
from umbel.model.job import Counts, Delivery, Job

MEBI = 1024 * 1024


def test_a_call_sends_at_most_five_hundred_jobs_of_one_queue_in_their_order() -> None:
    jobs = [Job(str(number), "odd" if number % 2 else "even", b"E") for number in range(1200)]
    calls = list(chunks(jobs))
    assert [(queue, len(words) // 4) for queue, words in calls] == [
        ("even", 500),
        ("odd", 500),
        ("even", 100),
        ("odd", 100),
    ]
    sent = [word for queue, words in calls if queue == "odd" for word in words[::4]]
    assert sent == [str(number) for number in range(1, 1200, 2)]


def test_large_jobs_go_in_smaller_calls() -> None:
    jobs = [Job(str(number), "q", b"E" * MEBI) for number in range(9)]
    assert [len(words) // 4 for _, words in chunks(jobs)] == [4, 4, 1]


@pytest.mark.parametrize(
    ("job", "at"),
    [
        (Job("id", "q", b""), 0),
        (Job("id", "q", b"", delay=1.5), -1500),
        (Job("id", "q", b"", delay=-3.0), 0),
        (Job("id", "q", b"", eta=1000.0001), 1_000_001),
        (Job("id", "q", b"", eta=-5.0), 0),
        (Job("id", "q", b"", eta=5.0, delay=7.0), 5000),
    ],
)
def test_a_time_is_absolute_a_delay_is_relative_and_neither_comes_early(job: Job, at: int) -> None:
    ((_, words),) = chunks([job])
    assert words[2] == at


def test_priority_nine_is_level_zero() -> None:
    ((_, words),) = chunks([Job("id", "q", b"E", priority=9)])
    assert words == ["id", 0, 0, b"E"]


def settlement(number: int, kind: Kind = "end", **fields: object) -> Settlement:
    return Settlement(Delivery(str(number), "q", 9, 7, b"E"), kind, **fields)  # type: ignore[arg-type]


def test_a_call_settles_at_most_two_hundred_and_fifty_six_items() -> None:
    found = batches([settlement(number) for number in range(600)])
    assert [len(batch.places) for batch in found] == [256, 256, 88]
    assert [place for batch in found for place in batch.places] == list(range(600))


def test_large_records_go_in_smaller_calls_and_one_that_is_too_large_goes_alone() -> None:
    sizes = (600, 600, 300, 2000, 1)
    found = batches([settlement(number, record=b"r" * (size * 1024)) for number, size in enumerate(sizes)])
    assert [batch.places for batch in found] == [[0], [1, 2], [3], [4]]


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (settlement(1, record=b"r", ttl=60.0), ["1", "9:7 end 60000 0", b"r"]),
        (settlement(1, ttl=0.0), ["1", "9:7 end 1 0", b""]),
        (settlement(1, "dead", record=b"r", ttl=2.5), ["1", "9:7 dead 2500 0", b"r"]),
        (settlement(1, "retry", delay=0.0001, counts=Counts(1, 2, 3, marked=True)), ["1", "9:7 retry 1:2:3:- 0", 1]),
        (settlement(1, "retry"), ["1", "9:7 retry - 0", 0]),
        (settlement(1, "release", delay=5.0), ["1", "9:7 release - 0", ""]),
        (settlement(1, "park", task="a.b"), ["1", "9:7 park - 0", "a.b"]),
    ],
)
def test_each_verdict_has_its_head_and_its_value(verdict: Settlement, words: list[object]) -> None:
    (batch,) = batches([verdict])
    assert batch.items == words
    assert batch.operations == []


def test_follow_ups_and_a_new_envelope_are_operations_of_their_item() -> None:
    after = (Job("next", "other", b"N", priority=1, delay=2.0),)
    (batch,) = batches([settlement(1, follow_ups=after), settlement(2, "retry", envelope=b"NEW"), settlement(3)])
    assert batch.items[1::3] == ["9:7 end 120000 1", "9:7 retry - 1", "9:7 end 120000 0"]
    assert batch.operations == ["J", b"umbel:{other}:", "next", 8, -2000, b"N", "E", b"NEW"]


def test_only_a_retry_replaces_an_envelope() -> None:
    (batch,) = batches([settlement(1, "release", envelope=b"NEW")])
    assert (batch.items[1], batch.operations) == ("9:7 release - 0", [])


def test_verdicts_that_differ_in_anything_but_their_value_have_heads_of_their_own() -> None:
    verdicts = [settlement(1), settlement(2), settlement(3, ttl=5.0), settlement(4, "dead"), settlement(5)]
    verdicts.append(Settlement(Delivery("6", "q", 9, 8, b"E"), "end"))
    verdicts.append(Settlement(Delivery("7", "q", 8, 8, b"E"), "end"))
    (batch,) = batches(verdicts)
    heads = ["9:7 end 120000 0"] * 2 + ["9:7 end 5000 0", "9:7 dead 120000 0", "9:7 end 120000 0"]
    assert batch.items[1::3] == [*heads, "9:8 end 120000 0", "8:8 end 120000 0"]


def test_counts_are_read_as_they_were_written() -> None:
    assert counts_of(counts_text(Counts(3, 2, 1, marked=True)).encode()) == Counts(3, 2, 1)
    assert counts_of(b"0:1:2:q") == Counts(0, 1, 2, marked=True)


def test_a_follow_up_in_an_outbox_is_read_as_it_was_written() -> None:
    text = b"2 1700000000123 11 other queueen vel\nope"
    assert posted(b"id", text) == Job("id", "other queue", b"en vel\nope", 7, eta=1_700_000_000.123)
    assert posted(b"id", b"9 0 1 q") == Job("id", "q", b"")


def test_only_follow_ups_of_other_queues_go_by_the_outbox() -> None:
    delivery = Delivery("id", "home", 9, 1, b"")
    follow_ups = (Job("near", "home", b""), Job("far", "away", b""))
    (batch,) = batches([Settlement(delivery, "end", follow_ups=follow_ups)], apart=True)
    assert batch.operations[0::6] == ["J", "O"]
    assert batch.operations[1::6] == [b"umbel:{home}:", "away"]
