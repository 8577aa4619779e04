"""The specification on SQLite: real files, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from umbel.brokers.sqlite import SqliteBroker
from umbel.engines.sqlite_file import File
from umbel.stores.sqlite import SqliteStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.schedules import ScheduleConformance


class OnOneFile:
    """A new file for each test; every client of the test opens it for itself."""

    url: str

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/umbel.db"

    def make(self, clock: Callable[[], float]) -> SqliteBroker:
        return SqliteBroker(File(self.url, "broker_url", 30.0), clock)

    def make_store(self, clock: Callable[[], float]) -> SqliteStore:
        return SqliteStore(File(self.url, "result_backend", 30.0), clock)


class TestBroker(OnOneFile, BrokerConformance):
    pass


class TestRecords(OnOneFile, RecordConformance):
    pass


class TestFlows(OnOneFile, FlowConformance):
    pass


class TestSchedules(OnOneFile, ScheduleConformance):
    pass


class TestJobs(OnOneFile, JobConformance):
    pass


class TestAgeing(OnOneFile, AgeingConformance):
    pass


class TestLimits(OnOneFile, LimitingConformance):
    pass


class TestMailbox(OnOneFile, MailboxConformance):
    pass


class TestEventLog(OnOneFile, EventLogConformance):
    pass


class TestInspector(OnOneFile, InspectorConformance):
    pass


class TestStore(ResultStoreConformance):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/umbel.db"

    def make(self, clock: Callable[[], float]) -> SqliteStore:
        return SqliteStore(File(self.url, "result_backend", 30.0), clock)
