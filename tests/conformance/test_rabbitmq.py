"""The specification on RabbitMQ with its claims in Redis, as far as its powers go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.rabbitmq_stage import unhurried
from tests.patient import PATIENT
from umbel.brokers.rabbitmq import HoldingBroker, intake
from umbel.claims.redis import RedisClaims
from umbel.stores.redis import RedisResultStore
from umbel.testing import CarrierConformance, LeaseConformance, RecordConformance, ResendConformance, SightConformance
from umbel.testing.conformance.amending import AmendingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import HeldFlowConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.marking import MarkingConformance
from umbel.testing.conformance.noting import NoteConformance
from umbel.testing.conformance.pausing import RestingConformance
from umbel.testing.conformance.schedules import HeldScheduleConformance


class OnOneServer:
    """Empty servers for each test; every client has connections of its own."""

    url: str
    claims_url: str

    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.claims_url = rabbitmq_url, redis_url
        unhurried(monkeypatch)

    def make(self, clock: Callable[[], float]) -> HoldingBroker:
        settings = PATIENT
        claims = RedisClaims(self.claims_url, settings, clock)
        return HoldingBroker(self.url, settings, claims, claims)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.claims_url, PATIENT)


# Delays pass on RabbitMQ's clock, which no test moves: test_rabbitmq_engine.py really waits.
class TestBroker(OnOneServer, CarrierConformance, LeaseConformance, ResendConformance):
    pass


class TestMarking(OnOneServer, MarkingConformance):
    pass


class TestNotes(OnOneServer, NoteConformance):
    pass


class TestAmending(OnOneServer, AmendingConformance):
    pass


class TestPauses(OnOneServer, RestingConformance):
    pass


class TestMailbox(OnOneServer, MailboxConformance):
    pass


class TestEvents(OnOneServer, EventLogConformance):
    pass


class TestRecords(OnOneServer, RecordConformance):
    pass


class TestInspector(OnOneServer, SightConformance):
    pass


class TestFlows(OnOneServer, HeldFlowConformance):
    @pytest.fixture(autouse=True)
    def _unhurried(self, _server: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        # A test of thousands on a busy machine pauses for longer; others wait for what is given back.
        many = any(word in request.node.name for word in ("three_thousand", "breaks_off"))
        monkeypatch.setattr(intake, "IDLE_SECONDS", 20.0 if many else 3.0)


class TestSchedules(OnOneServer, HeldScheduleConformance):
    pass
