"""The specification on the engine in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat
from umbel.engines.memory import Space
from umbel.model.job import Delivery, Job
from umbel.stores.memory import MemoryStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.schedules import ScheduleConformance


class OnMemory:
    """An empty space for each test."""

    space: Space

    @pytest.fixture(autouse=True)
    def _empty(self) -> None:
        self.space = Space()

    def make(self, clock: Callable[[], float]) -> MemoryBroker:
        return MemoryBroker(self.space, clock)

    def make_store(self, clock: Callable[[], float]) -> MemoryStore:
        return MemoryStore(self.space, clock)


class TestMemoryBroker(OnMemory, BrokerConformance):
    pass


class TestMemoryFlows(OnMemory, FlowConformance):
    pass


class TestMemorySchedules(OnMemory, ScheduleConformance):
    pass


class TestMemoryJobs(OnMemory, JobConformance):
    pass


class TestMemoryAgeing(OnMemory, AgeingConformance):
    pass


class TestMemoryLimits(OnMemory, LimitingConformance):
    pass


class TestMemoryMailbox(OnMemory, MailboxConformance):
    pass


class TestMemoryEventLog(OnMemory, EventLogConformance):
    pass


class TestMemoryInspector(OnMemory, InspectorConformance):
    pass


class TestMemoryRecords(OnMemory, RecordConformance):
    pass


class TestMemoryStore(ResultStoreConformance):
    @pytest.fixture(autouse=True)
    def _empty(self) -> None:
        self.space = Space()

    def make(self, clock: Callable[[], float]) -> MemoryStore:
        return MemoryStore(self.space, clock)


async def test_whoever_waits_for_a_paused_queue_looks_again_only_when_it_is_rung() -> None:
    broker = MemoryBroker(Space())
    await broker.heartbeat([Beat("session")], ["q"], 60.0, opening=True)
    broker.job_store.pause("q", paused=True)
    broker.send([Job("ready", "q", b""), Job("soon", "q", b"", delay=0.001)])
    looks = 0
    take = broker._take

    def counted(session: str, queues: Sequence[str], limit: int) -> list[Delivery]:
        nonlocal looks
        looks += 1
        return take(session, queues, limit)

    broker._take = counted  # type: ignore[method-assign]
    waiting = asyncio.create_task(broker.receive("session", ["q"], 2, wait=30))
    await asyncio.sleep(0.05)
    assert looks == 1
    broker.job_store.pause("q", paused=False)
    async with asyncio.timeout(20):
        assert [each.id for each in await waiting] == ["ready", "soon"]
    assert looks == 2
