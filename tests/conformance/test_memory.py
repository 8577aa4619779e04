"""The specification on the engine in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.engines.memory import Space
from umbel.stores.memory import MemoryStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
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


class TestMemoryMailbox(OnMemory, MailboxConformance):
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
