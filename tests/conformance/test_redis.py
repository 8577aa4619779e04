"""The specification on Redis: a real server, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.patient import PATIENT
from umbel.brokers.redis import RedisBroker
from umbel.stores.redis import RedisResultStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.schedules import ScheduleConformance


class OnOneServer:
    """An empty server for each test; every client has connections of its own."""

    url: str

    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    def make(self, clock: Callable[[], float]) -> RedisBroker:
        return RedisBroker(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


class TestBroker(OnOneServer, BrokerConformance):
    pass


class TestRecords(OnOneServer, RecordConformance):
    pass


class TestFlows(OnOneServer, FlowConformance):
    pass


class TestSchedules(OnOneServer, ScheduleConformance):
    pass


class TestJobs(OnOneServer, JobConformance):
    pass


class TestAgeing(OnOneServer, AgeingConformance):
    pass


class TestLimits(OnOneServer, LimitingConformance):
    pass


class TestEventLog(OnOneServer, EventLogConformance):
    pass


class TestMailbox(OnOneServer, MailboxConformance):
    pass


class TestInspector(OnOneServer, InspectorConformance):
    pass


class TestStore(ResultStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        self.url = redis_url

    def make(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)
