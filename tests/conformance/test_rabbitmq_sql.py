"""RabbitMQ with its claims in a SQL database: what that keeps beside the claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.rabbitmq_stage import unhurried
from tests.patient import PATIENT
from umbel.brokers.rabbitmq import HoldingBroker, intake
from umbel.claims.sql import connect as claims_at
from umbel.testing.conformance.amending import AmendingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.flows import HeldFlowConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.noting import NoteConformance
from umbel.testing.conformance.pausing import RestingConformance
from umbel.testing.conformance.schedules import HeldScheduleConformance


class OnDatabase:
    """Empty servers for each test; every client has connections of its own."""

    url: str
    claims_url: str

    def make(self, clock: Callable[[], float]) -> HoldingBroker:
        claims = claims_at(self.claims_url, PATIENT, clock)
        return HoldingBroker(self.url, PATIENT, claims, claims)


class InPostgres(OnDatabase):
    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq_url: str, postgres_results_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.claims_url = rabbitmq_url, postgres_results_url
        unhurried(monkeypatch)


class InFile(OnDatabase):
    """Takes the least time; the other databases are asked in test_claim_flows.py."""

    @pytest.fixture(autouse=True)
    def _server(self, rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.claims_url = rabbitmq_url, f"db+sqlite:///{tmp_path}/claims.db"
        unhurried(monkeypatch)


class TestNotes(InPostgres, NoteConformance):
    pass


class TestMailbox(InPostgres, MailboxConformance):
    pass


class TestEvents(InPostgres, EventLogConformance):
    pass


class TestPauses(InPostgres, RestingConformance):
    pass


class TestAmending(InPostgres, AmendingConformance):
    pass


class TestFlows(InFile, HeldFlowConformance):
    @pytest.fixture(autouse=True)
    def _unhurried(self, _server: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        # A test of thousands on a busy machine pauses for longer; others wait for what is given back.
        many = any(word in request.node.name for word in ("three_thousand", "breaks_off"))
        monkeypatch.setattr(intake, "IDLE_SECONDS", 20.0 if many else 3.0)


class TestSchedules(InFile, HeldScheduleConformance):
    pass
