"""The specification on PostgreSQL: a real server, reached directly and through pgbouncer, a clock that is moved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.patient import PATIENT
from umbel.brokers.postgres import PostgresBroker
from umbel.contracts.broker import Broker
from umbel.stores.postgres import PostgresStore
from umbel.testing import (
    BrokerConformance,
    InspectorConformance,
    LoseReplies,
    RecordConformance,
    ResultStoreConformance,
    every_other,
)
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.schedules import ScheduleConformance
from umbel.testing.faults import VERBS
from umbel.testing.patience import Patient


class OnOneServer:
    """An empty database for each test; every client has connections of its own."""

    url: str

    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.url = postgres_url

    def make(self, clock: Callable[[], float]) -> Broker:
        return PostgresBroker(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> PostgresStore:
        return PostgresStore(self.url, PATIENT, clock)


class TestBroker(OnOneServer, BrokerConformance):
    pass


class TestRecords(OnOneServer, RecordConformance):
    pass


class TestEvents(OnOneServer, EventLogConformance):
    pass


class TestFlows(OnOneServer, FlowConformance):
    pass


class TestInspector(OnOneServer, InspectorConformance):
    pass


class TestSchedules(OnOneServer, ScheduleConformance):
    pass


class TestJobs(OnOneServer, JobConformance):
    pass


class TestAgeing(OnOneServer, AgeingConformance):
    pass


class TestLimits(OnOneServer, LimitingConformance):
    pass


class TestMailbox(OnOneServer, MailboxConformance):
    pass


class StoreOnOneServer(ResultStoreConformance):
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        self.url = postgres_url

    def make(self, clock: Callable[[], float]) -> PostgresStore:
        return PostgresStore(self.url, PATIENT, clock)


class TestStore(StoreOnOneServer):
    pass


# --- every other answer lost


class LosingAnswers(OnOneServer):
    """The first client loses answers, and its caller bears it; further clients of the same test do not."""

    @pytest.fixture(autouse=True)
    def _count(self) -> None:
        self.made = 0

    def make(self, clock: Callable[[], float]) -> Broker:
        self.made += 1
        broker = super().make(clock)
        faults = every_other(*(verb for verb in VERBS if verb not in ("receive", "reclaim")))
        return broker if self.made > 1 else Patient(LoseReplies(broker, faults))


class TestBrokerThatLosesAnswers(LosingAnswers, BrokerConformance):
    pass


# --- behind pgbouncer in transaction mode


class BehindPgBouncer(OnOneServer):
    """Every transaction may be served by another process; those who wait listen on a direct connection."""

    @pytest.fixture(autouse=True)
    def _pooler(self, pgbouncer_url: str) -> None:
        self.url = pgbouncer_url


class TestBrokerBehindPgBouncer(BehindPgBouncer, BrokerConformance):
    pass


class TestRecordsBehindPgBouncer(BehindPgBouncer, RecordConformance):
    pass


class TestEventsBehindPgBouncer(BehindPgBouncer, EventLogConformance):
    pass


class TestFlowsBehindPgBouncer(BehindPgBouncer, FlowConformance):
    pass


class TestInspectorBehindPgBouncer(BehindPgBouncer, InspectorConformance):
    pass


class TestSchedulesBehindPgBouncer(BehindPgBouncer, ScheduleConformance):
    pass


class TestJobsBehindPgBouncer(BehindPgBouncer, JobConformance):
    pass


class TestAgeingBehindPgBouncer(BehindPgBouncer, AgeingConformance):
    pass


class TestLimitsBehindPgBouncer(BehindPgBouncer, LimitingConformance):
    pass


class TestMailboxBehindPgBouncer(BehindPgBouncer, MailboxConformance):
    pass


class TestStoreBehindPgBouncer(StoreOnOneServer):
    @pytest.fixture(autouse=True)
    def _pooler(self, pgbouncer_url: str) -> None:
        self.url = pgbouncer_url
