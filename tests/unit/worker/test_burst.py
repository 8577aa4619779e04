"""When a burst is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.limits import Admission
from umbel.engines.memory import Space
from umbel.exceptions import ImproperlyConfigured
from umbel.model.job import Delivery, Job
from umbel.model.limit import Limit, Pace
from umbel.testing import Clock
from umbel.worker.supervisor import burst as module
from umbel.worker.supervisor.burst import Burst
from umbel.worker.supervisor.depth import Depth, depth_of

QUEUE = "default"
LEASE = 60.0
T = TypeVar("T")


class Once:
    """Makes each attempt once, and counts them."""

    def __init__(self) -> None:
        self.attempts = 0
        self.before: Callable[[int], Awaitable[object]] | None = None

    async def insist(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """The answer of *attempt*; what was asked for is done first."""
        self.attempts += 1
        assert self.attempts < 50, "the burst does not end"
        if self.before is not None:
            await self.before(self.attempts)
        return await attempt()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    return MemoryBroker(Space(), clock)


def burst(broker: MemoryBroker) -> Burst:
    return Burst(broker, lambda: [QUEUE], LEASE, "memory://")


async def test_a_burst_over_an_empty_queue_ends(broker: MemoryBroker) -> None:
    outage = Once()
    await burst(broker).over(outage)
    assert outage.attempts == module.QUIET_LOOKS


async def test_a_burst_waits_for_what_is_ready_and_for_what_runs(broker: MemoryBroker) -> None:
    await broker.heartbeat([Beat("s")], [QUEUE], LEASE, opening=True)
    broker.send([Job("a", QUEUE, b"envelope")])
    outage, places = Once(), list[str]()

    held: list[Delivery] = []

    async def go_on(attempt: int) -> None:
        places.append(broker.locate("a", QUEUE).place)
        if attempt == 3:
            held.extend(await broker.receive("s", [QUEUE], 1, wait=0))
        if attempt == 6:
            await broker.settle("s", [Settlement(held[0], "end")])

    outage.before = go_on
    await burst(broker).over(outage)
    assert (places[:2], places[3:5], places[-1]) == (["ready"] * 2, ["running"] * 2, "ended")


async def test_a_burst_does_not_wait_for_what_is_due_later_but_for_what_is_due(
    broker: MemoryBroker, clock: Clock
) -> None:
    broker.send([Job("late", QUEUE, b"envelope", 0, 3600.0)])
    await burst(broker).over(Once())
    clock.advance(3601)
    with pytest.raises(AssertionError, match="does not end"):
        await burst(broker).over(Once())


async def test_a_burst_waits_for_what_a_limit_holds(broker: MemoryBroker) -> None:
    limit = Limit("slow", pace=Pace(interval=3600.0))
    broker.limit_store.admit([Admission(Job(name, QUEUE, b"envelope"), limit) for name in "ab"])
    await broker.heartbeat([Beat("s")], [QUEUE], LEASE, opening=True)
    (delivery,) = await broker.receive("s", [QUEUE], 1, wait=0)
    await broker.settle("s", [Settlement(delivery, "end")])
    assert await depth_of(broker, [QUEUE]) == Depth(0, 0, 1)
    with pytest.raises(AssertionError, match="does not end"):
        await burst(broker).over(Once())


async def test_what_waits_in_a_paused_queue_is_not_ready(broker: MemoryBroker) -> None:
    limit = Limit("slow", pace=Pace(concurrency=1))
    broker.limit_store.admit([Admission(Job(name, QUEUE, b"envelope"), limit) for name in "ab"])
    assert await depth_of(broker, [QUEUE]) == Depth(1, 0, 1)
    await broker.job_store.apause(QUEUE, paused=True)
    assert await depth_of(broker, [QUEUE]) == Depth(0, 0)
    await burst(broker).over(Once())


def test_a_burst_needs_a_broker_that_can_tell_what_it_holds() -> None:
    with pytest.raises(ImproperlyConfigured, match="--burst"):
        Burst(object(), lambda: [QUEUE], LEASE, "x://")  # type: ignore[arg-type]
