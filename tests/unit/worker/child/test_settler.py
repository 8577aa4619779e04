"""Outcomes on their way to the broker: what gathers goes together, nothing is lost, nobody waits for a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.worker.child.stage import DEADLINE_SECONDS, until
from umbel.contracts.broker import Settlement
from umbel.exceptions import BackendError, BrokerError, BrokerFull, BrokerUnavailable
from umbel.execution.executor import Finished
from umbel.model.failure import Failure
from umbel.model.job import Delivery
from umbel.model.outcome import Failed, Outcome, Released, Succeeded
from umbel.wire import record
from umbel.worker.child import settler as module
from umbel.worker.child.ledger import OwnEngine
from umbel.worker.child.link import Link
from umbel.worker.child.settler import MAX_BATCH, Settler


class Scripted:
    """A broker whose settles wait for leave, and go wrong as *fails* says."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.done: list[Settlement] = []
        self.leave = asyncio.Event()
        self.leave.set()
        self.fails: Callable[[Sequence[Settlement]], BaseException | None] = lambda _: None
        self.answer: Callable[[Settlement], bool] = lambda _: True

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """`Broker.settle`."""
        self.batches.append([each.delivery.id for each in settlements])
        await self.leave.wait()
        error = self.fails(settlements)
        if error is not None:
            raise error
        self.done += settlements
        return [self.answer(each) for each in settlements]


class Told(list[tuple[str, bool]]):
    """What the settler told of its batches."""

    def __call__(self, batch: list[Finished], answers: list[bool]) -> None:
        """Note it."""
        self += [(each.delivery.id, ours) for each, ours in zip(batch, answers, strict=True)]


@pytest.fixture
def broker() -> Scripted:
    return Scripted()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.005)


@asynccontextmanager
async def settling(broker: Any, told: Told, ledger: Any = None) -> AsyncGenerator[Settler]:
    settler = Settler(Link(broker, ledger or OwnEngine(), "session", ("q",)), "worker", 60.0, told)
    running = asyncio.create_task(settler.run())
    try:
        yield settler
    finally:
        running.cancel()
        await asyncio.wait((running,))


def finished(name: str, outcome: Outcome | None = None) -> Finished:
    return Finished(Delivery(name, "q", 9, 1, b""), outcome or Succeeded(b"\x01"), "task")


async def drained(settler: Settler) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await settler.drained()


async def test_what_gathers_while_a_settle_is_on_its_way_goes_in_one(broker: Scripted, told: Told) -> None:
    broker.leave.clear()
    async with settling(broker, told) as settler:
        settler.add(finished("first"))
        await until(lambda: broker.batches, "the first is on its way")
        for number in range(20):
            settler.add(finished(str(number)))
        assert len(settler) == 20
        broker.leave.set()
        await drained(settler)
    assert broker.batches == [["first"], [str(number) for number in range(20)]]
    assert told == [(each, True) for batch in broker.batches for each in batch]
    assert len(settler) == 0


async def test_a_batch_has_an_upper_limit(broker: Scripted, told: Told) -> None:
    broker.leave.clear()
    async with settling(broker, told) as settler:
        for number in range(2 * MAX_BATCH + 1):
            settler.add(finished(str(number)))
        broker.leave.set()
        await drained(settler)
    assert [len(batch) for batch in broker.batches] == [MAX_BATCH, MAX_BATCH, 1]
    assert [each for each, _ in told] == [str(number) for number in range(2 * MAX_BATCH + 1)]


async def test_a_verdict_that_was_refused_is_told_so(broker: Scripted, told: Told) -> None:
    broker.answer = lambda settlement: settlement.delivery.id != "lost"
    async with settling(broker, told) as settler:
        for name in ("a", "lost", "b"):
            settler.add(finished(name))
        await drained(settler)
    assert told == [("a", True), ("lost", False), ("b", True)]


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), BrokerFull("full")])
async def test_what_the_broker_did_not_hear_is_repeated_in_order_until_it_does(
    broker: Scripted, told: Told, error: Exception
) -> None:
    failures = iter([error] * 5)
    broker.fails = lambda _: next(failures, None)
    async with settling(broker, told) as settler:
        settler.add(finished("0"))
        await until(lambda: broker.batches, "the first is on its way")
        for number in range(1, 10):
            settler.add(finished(str(number)))
        await drained(settler)
    assert broker.batches[:6] == [["0"]] * 6
    assert [each.delivery.id for each in broker.done] == [str(number) for number in range(10)]
    assert [each for each, _ in told] == [str(number) for number in range(10)]


async def test_a_repeat_carries_the_same_verdict(broker: Scripted, told: Told) -> None:
    tried: list[Sequence[Settlement]] = []
    broker.fails = lambda batch: tried.append(batch) or (BrokerUnavailable("away") if len(tried) < 3 else None)  # type: ignore[func-returns-value]
    async with settling(broker, told) as settler:
        settler.add(finished("job"))
        await drained(settler)
    assert len(tried) == 3
    assert tried[0] == tried[1] == tried[2]


def _refusing(name: str, error: Exception) -> Callable[[Sequence[Settlement]], BaseException | None]:
    return lambda batch: error if any(each.delivery.id == name for each in batch) else None


@pytest.mark.parametrize("error", [BrokerError("no"), BackendError("no"), OverflowError("a bug")])
async def test_one_bad_item_holds_up_no_other(broker: Scripted, told: Told, error: Exception) -> None:
    broker.fails = _refusing("bad", error)
    async with settling(broker, told) as settler:
        for name in ("a", "bad", "b"):
            settler.add(finished(name))
        await until(lambda: len(told) == 2, "the others are settled")
        settler.add(finished("c"))
        await until(lambda: len(told) == 3, "and what came later")
        assert [each for each, _ in told] == ["a", "b", "c"]
        assert len(settler) == 1
        broker.fails = lambda _: None  # mended
        await drained(settler)
    assert [each for each, _ in told] == ["a", "b", "c", "bad"]


async def test_an_item_that_is_refused_is_not_forgotten_by_those_who_wait_for_the_end(
    broker: Scripted, told: Told
) -> None:
    broker.fails = _refusing("bad", BrokerError("no"))
    async with settling(broker, told) as settler:
        settler.add(finished("bad"))
        await until(lambda: len(broker.batches) >= 3, "it was tried again")
        waiting = asyncio.create_task(settler.drained())
        await until(lambda: len(broker.batches) >= 5, "and again")
        assert not waiting.done()
        broker.fails = lambda _: None
        await asyncio.wait_for(waiting, DEADLINE_SECONDS)
    assert told == [("bad", True)]


async def test_an_outcome_that_cannot_travel_is_stored_as_a_failure_that_says_so(broker: Scripted, told: Told) -> None:
    outcome = Failed(Failure("Odd", "here", "\udcff"))
    async with settling(broker, told) as settler:
        settler.add(finished("bad", outcome))
        settler.add(finished("good"))
        await drained(settler)
    first = record.decode(broker.done[0].record)
    assert first.failure is not None
    assert (first.state, first.failure.type) == ("FAILURE", "UnicodeEncodeError")
    assert [each for each, _ in told] == ["bad", "good"]


class Refusing:
    """A ledger that cannot store for a while."""

    def __init__(self) -> None:
        self.failures = iter([BrokerUnavailable("away")] * 3)
        self.stored: list[str] = []

    async def record(self, settlements: list[Settlement]) -> list[Settlement]:
        """`Ledger.record`."""
        error = next(self.failures, None)
        if error is not None:
            raise error
        self.stored += [each.delivery.id for each in settlements]
        return settlements


async def test_nothing_is_removed_before_its_record_is_stored(broker: Scripted, told: Told) -> None:
    ledger = Refusing()
    async with settling(broker, told, ledger) as settler:
        settler.add(finished("job"))
        await drained(settler)
    assert ledger.stored == ["job"]
    assert broker.batches == [["job"]]


async def test_a_record_is_stored_once_however_often_the_removal_is_repeated(broker: Scripted, told: Told) -> None:
    class Counting:
        calls = 0

        async def record(self, settlements: list[Settlement]) -> list[Settlement]:
            Counting.calls += bool(settlements[0].record)
            return [Settlement(each.delivery, each.kind) for each in settlements]

    failures = iter([BrokerUnavailable("away")] * 4)
    broker.fails = lambda _: next(failures, None)
    async with settling(broker, told, Counting()) as settler:
        settler.add(finished("job"))
        await drained(settler)
    assert Counting.calls == 1
    assert len(broker.batches) == 5


async def test_whoever_waits_for_the_end_of_nothing_does_not_wait(broker: Scripted, told: Told) -> None:
    async with settling(broker, told) as settler:
        await drained(settler)
        settler.add(finished("job", Released()))
        await drained(settler)
    assert told == [("job", True)]
