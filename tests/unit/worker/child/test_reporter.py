"""The reporter of a child: what it makes of many successes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from umbel import Umbel
from umbel.execution.executor import Finished
from umbel.journal import MAX_TOGETHER
from umbel.model.event import AS_TEXT, Batch, Runs
from umbel.model.job import Counts, Delivery
from umbel.model.outcome import Succeeded
from umbel.retelling import read
from umbel.wire.events import decode
from umbel.worker.child.reporter import Reporter
from umbel.worker.options import ChildOptions

OPTIONS = ChildOptions(session="s", worker="w", queues=("q",), threads=1, async_slots=0, max_crashes=3)


class Log:
    """Takes batches."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        raise NotImplementedError

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        self.taken += batches

    async def read(self, after: str, limit: int, wait: float) -> Any:
        raise NotImplementedError

    async def end(self) -> str:
        raise NotImplementedError


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def reporter(log: Log) -> Reporter:
    app = Umbel("shop", "memory://reporter", set_as_current=False)
    app.task(name="add")(lambda: 1)
    app.task(name="pay", redact=("return",))(lambda: 1)
    app.task(name="quiet", send_events=False)(lambda: 1)
    return Reporter(app, log, OPTIONS, {}, None)


def success(job: str, task: str = "add", value: bytes = b"\x01", counts: Counts | None = None) -> Finished:
    delivery = Delivery(job, "q", 0, 1, b"") if counts is None else Delivery(job, "q", 0, 1, b"", counts)
    return Finished(delivery, Succeeded(value, 0.5), task, ended=9.0, wait=0.25)


def told(reporter: Reporter, log: Log, *finished: Finished) -> Batch:
    """The one batch that comes of *finished*."""
    reporter.settled(finished, [True] * len(finished))
    assert asyncio.run(reporter.journal.aflush())
    (batch,) = log.taken
    return decode(batch)


def test_plain_successes_are_rows_by_task_and_no_tally_counts_them(reporter: Reporter, log: Log) -> None:
    batch = told(reporter, log, success("a"), success("b", "pay"), success("c"))
    assert (batch.events, batch.tallies, batch.dropped) == ((), (), 0)
    assert batch.runs == (
        Runs("add", "q", [("a", 9.0, 0.5, 0.25, b"\x01"), ("c", 9.0, 0.5, 0.25, b"\x01")]),
        Runs("pay", "q", [("b", 9.0, 0.5, 0.25, AS_TEXT + b'"***"')]),
    )


def test_other_successes_are_events_and_silent_ones_are_counted_alone(reporter: Reporter, log: Log) -> None:
    batch = told(reporter, log, success("a", counts=Counts(retries=2)), success("b", "quiet"), success("c"))
    assert [(event.id, event.attempt) for event in batch.events] == [("a", 3)]
    assert [(tally.task, tally.succeeded) for tally in batch.tallies] == [("add", 1), ("quiet", 1)]
    whole = read(log.taken[0])
    assert {event.id for event in whole.events} == {"a", "c"}
    assert sum(tally.succeeded for tally in whole.tallies) == 3


def test_as_many_as_there_are_come_in_one_batch(reporter: Reporter, log: Log) -> None:
    count = 2 * MAX_TOGETHER + 1
    batch = told(reporter, log, *(success(f"{number}") for number in range(count)))
    assert [len(runs.rows) for runs in batch.runs] == [MAX_TOGETHER, MAX_TOGETHER, 1]


def test_what_cannot_be_told_costs_its_events_and_no_job(reporter: Reporter, log: Log) -> None:
    batch = told(reporter, log, success("a"), success("b", value=b""))
    assert (batch.runs, batch.dropped) == ((), 2)
