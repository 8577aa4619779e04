"""The journal: batches, bounds, and a log that is away."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from umbel.exceptions import BrokerUnavailable
from umbel.journal import MAX_HELD, MAX_TOGETHER, Journal
from umbel.messenger import Farewell, Messenger
from umbel.model.event import MAX_BATCH_BYTES, MAX_EVENTS, Batch, Event, Ran, Runs, bucket_of, seconds_of
from umbel.wire.events import decode

ROW: Ran = ("id", 8.0, 0.5, 0.25, b"\x07")


class Log:
    """Takes batches, or refuses them."""

    def __init__(self) -> None:
        self.taken: list[Batch] = []
        self.bounds: set[int] = set()
        self.away = False
        self.told = threading.Event()

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        self.bounds.add(bound)
        if self.away:
            raise BrokerUnavailable("away")
        self.taken += map(decode, batches)
        self.told.set()

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        self.append(batches, bound)

    async def read(self, after: str, limit: int, wait: float) -> Any:
        raise NotImplementedError

    async def end(self) -> str:
        raise NotImplementedError

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.taken for event in batch.events]


def happened(journal: Journal, subject: Any, at: float, tell: bool) -> Event | None:
    count = journal.count("task", "queue")
    count.sent += 1
    count.ran(0.01)
    return Event("task-sent", at, str(subject)) if tell else None


def failed(journal: Journal, subject: Any, at: float, tell: bool) -> Event | None:
    journal.count("task", "queue").failed += 1
    return Event("task-failed", at, str(subject)) if tell else None


def mistaken(journal: Journal, subject: Any, at: float, tell: bool) -> Event | None:
    raise RuntimeError(f"{journal} {subject} {at} {tell}")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def journal(log: Log) -> Journal:
    return Journal(log, 100, "source", "w1@here")


def test_events_leave_in_one_batch_with_what_was_counted(log: Log, journal: Journal) -> None:
    for number in range(3):
        journal.add(happened, number, float(number))
    assert journal.flush()
    (batch,) = log.taken
    assert (batch.source, batch.number, batch.worker, batch.dropped) == ("source", 1, "w1@here", 0)
    assert [event.id for event in batch.events] == ["0", "1", "2"]
    (tally,) = batch.tallies
    assert (tally.task, tally.queue, tally.sent, tally.runs) == ("task", "queue", 3, {bucket_of(0.01): 3})
    assert log.bounds == {100}


def test_events_are_in_the_order_in_which_they_happened(log: Log, journal: Journal) -> None:
    journal.add(happened, "late", 2.0)
    journal.add(failed, "early", 1.0, grave=True)
    journal.flush()
    assert [event.id for event in log.events] == ["early", "late"]


def test_nothing_is_sent_where_nothing_happened(log: Log, journal: Journal) -> None:
    assert journal.flush()
    assert log.taken == []


def test_numbers_count_up_and_batches_are_bounded_in_events(log: Log, journal: Journal) -> None:
    for _ in range(2 * MAX_EVENTS // MAX_TOGETHER):
        journal.ran("task", "queue", [ROW] * MAX_TOGETHER)
    assert journal.full
    journal.ran("task", "queue", [ROW])
    journal.flush()
    told = [(batch.number, sum(len(runs.rows) for runs in batch.runs)) for batch in log.taken]
    assert told == [(1, MAX_EVENTS), (2, MAX_EVENTS), (3, 1)]


async def test_what_comes_while_a_batch_is_on_its_way_waits_for_more(log: Log, journal: Journal) -> None:
    async def taken(batches: Sequence[bytes], bound: int) -> None:
        log.append(batches, bound)
        if len(log.taken) < 10:
            journal.add(happened, "meanwhile", 2.0)

    log.aappend = taken  # type: ignore[method-assign]
    for number in range(3):
        journal.add(happened, number, 1.0)
    assert await journal.aflush()
    assert [len(batch.events) for batch in log.taken] == [3]
    assert await journal.aflush()
    assert [len(batch.events) for batch in log.taken] == [3, 1]


def test_plain_successes_are_counted_by_who_reads_unless_they_are_dropped(log: Log, journal: Journal) -> None:
    journal.ran("task", "queue", [ROW, ROW])
    journal.ran("task", "other", [ROW])
    journal.flush()
    (batch,) = log.taken
    assert (batch.runs, batch.tallies) == ((Runs("task", "queue", [ROW, ROW]), Runs("task", "other", [ROW])), ())
    for _ in range(MAX_HELD // MAX_TOGETHER + 1):
        journal.ran("task", "queue", [ROW] * MAX_TOGETHER)
    journal.flush()
    dropped = sum(batch.dropped for batch in log.taken)
    (tally,) = [tally for batch in log.taken for tally in batch.tallies]
    assert dropped == MAX_TOGETHER
    assert (tally.succeeded, tally.runs, tally.waits) == (
        MAX_TOGETHER, {bucket_of(0.5): MAX_TOGETHER}, {bucket_of(0.25): MAX_TOGETHER}
    )  # fmt: skip
    assert (
        sum(len(runs.rows) for batch in log.taken for runs in batch.runs) == 3 + MAX_HELD // MAX_TOGETHER * MAX_TOGETHER
    )


def test_batches_are_bounded_in_bytes(log: Log, journal: Journal) -> None:
    for number in range(4):
        journal.add(happened, number, 0.0, size=MAX_BATCH_BYTES // 2)
    journal.flush()
    assert [len(batch.events) for batch in log.taken] == [2, 2]


def test_above_its_bound_the_oldest_successes_go_first_and_are_counted(log: Log, journal: Journal) -> None:
    journal.add(failed, "grave", 0.0, grave=True)
    for number in range(MAX_HELD + 9):
        journal.add(happened, number, 1.0 + number)
    journal.flush()
    kept = [event.id for event in log.events]
    assert len(kept) == MAX_HELD
    assert kept[:2] == ["grave", "10"]
    assert sum(batch.dropped for batch in log.taken) == 10
    assert sum(tally.sent for batch in log.taken for tally in batch.tallies) == MAX_HELD + 9


def test_bytes_are_bounded_too(log: Log, journal: Journal) -> None:
    for number in range(10):
        journal.add(happened, number, 0.0, size=1024 * 1024)
    journal.flush()
    assert [event.id for event in log.events] == ["7", "8", "9"]
    assert sum(batch.dropped for batch in log.taken) == 7


def test_a_log_that_is_away_is_given_the_same_batch_again(log: Log, journal: Journal) -> None:
    log.away = True
    journal.add(happened, 1, 0.0)
    assert (journal.flush(), journal.away) == (False, True)
    journal.add(happened, 2, 0.0)
    log.away = False
    assert (journal.flush(), journal.away) == (True, False)
    assert [(batch.number, len(batch.events)) for batch in log.taken] == [(1, 1), (2, 1)]


async def test_the_async_twin_is_the_same(log: Log, journal: Journal) -> None:
    log.away = True
    journal.add(happened, 1, 0.0)
    assert not await journal.aflush()
    log.away = False
    assert await journal.aflush()
    assert [batch.number for batch in log.taken] == [1]


def test_a_mistake_costs_one_event_and_is_counted(log: Log, journal: Journal) -> None:
    journal.add(mistaken, 1, 0.0)
    journal.add(happened, 2, 0.0)
    assert journal.flush()
    assert [event.id for event in log.events] == ["2"]
    assert log.taken[0].dropped == 1


def test_what_cannot_travel_costs_its_batch_only(log: Log, journal: Journal) -> None:
    journal.add(lambda *_: Event("task-sent", 0.0, "x", body={"a": object()}), 1, 0.0)
    assert journal.flush()
    assert (log.taken[0].events, log.taken[0].dropped) == ((), 1)


def test_a_forked_process_is_another_source_and_sends_nothing_of_its_parent(log: Log, journal: Journal) -> None:
    journal.add(happened, "parent", 0.0)
    journal.renew()
    journal.add(happened, "child", 0.0)
    journal.flush()
    (batch,) = log.taken
    assert batch.source != "source"
    assert [event.id for event in batch.events] == ["child"]


def test_events_are_added_from_many_threads(log: Log, journal: Journal) -> None:
    def add() -> None:
        for number in range(200):
            journal.add(happened, number, 0.0)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.flush()
    assert len(log.events) == 800
    assert sum(tally.sent for batch in log.taken for tally in batch.tallies) == 800


def test_a_messenger_carries_events_without_being_asked(log: Log, journal: Journal) -> None:
    messenger = Messenger()
    messenger.carry(journal)
    journal.add(happened, 1, 0.0)
    assert log.told.wait(30)
    assert [event.id for event in log.events] == ["1"]


def test_a_log_that_does_not_answer_keeps_nobody_elses_events_back(log: Log, journal: Journal) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Hanging(Log):
        def append(self, batches: Sequence[bytes], bound: int) -> None:
            asked.set()
            answer.wait(60)

    messenger = Messenger()
    stuck = Journal(Hanging(), 100)
    try:
        messenger.carry(stuck)
        stuck.add(happened, 1, 0.0)
        assert asked.wait(30)
        messenger.carry(journal)
        journal.add(happened, 2, 0.0)
        assert log.told.wait(30)
    finally:
        answer.set()


def test_a_messenger_does_not_wait_for_a_log_that_is_away(log: Log, journal: Journal) -> None:
    messenger = Messenger()
    messenger.carry(journal)
    journal.wake = None
    log.away = True
    journal.add(happened, 1, 0.0)
    assert not journal.flush()
    log.away = False
    messenger.flush()
    assert log.taken == []


def test_who_ends_or_closes_does_not_wait_for_a_log_that_is_frozen() -> None:
    asked, answer, closed = threading.Event(), threading.Event(), threading.Event()

    class Hanging(Log):
        def append(self, batches: Sequence[bytes], bound: int) -> None:
            asked.set()
            answer.wait(100)

    messenger = Messenger()
    stuck = Journal(Hanging(), 100)
    messenger.carry(stuck)
    stuck.wake = None
    stuck.add(happened, 1, 0.0)
    began = time.monotonic()
    try:
        messenger.flush()
        Farewell(stuck).wait(after=closed.set)
        assert asked.is_set()
        assert not stuck.idle
        assert not closed.is_set()
        assert time.monotonic() - began < 50
    finally:
        answer.set()
    assert closed.wait(30)  # what was opened for the events is given back when they have left
    assert stuck.idle


def test_who_has_nothing_to_tell_does_not_even_start_a_thread(journal: Journal) -> None:
    before = set(threading.enumerate())
    farewell = Farewell(journal)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "umbel-farewell"]
    farewell.wait(after=lambda: pytest.fail("there was nothing to wait for"))


async def test_a_flush_that_is_cut_off_sends_nothing_twice(log: Log) -> None:
    answer = asyncio.Event()

    class Slow(Log):
        async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
            log.append(batches, bound)
            await answer.wait()

    journal = Journal(Slow(), 100)
    journal.add(happened, 1, 0.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await journal.aflush()
    answer.set()
    assert await journal.aflush()
    assert [batch.number for batch in log.taken] == [1]


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.001, 0.00101, 0.3, 7.5, 3600.0])
def test_a_bucket_holds_what_is_no_more_than_its_upper_end(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert seconds <= seconds_of(bucket) * (1 + 1e-9)
    assert bucket == 0 or seconds > seconds_of(bucket - 1) * (1 - 1e-9)


def test_the_last_bucket_holds_everything_above() -> None:
    assert bucket_of(1e12) == 111
