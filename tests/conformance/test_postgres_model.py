"""PostgreSQL against the model, through any sequence of verbs that Hypothesis can think of."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.machine import BrokerMachine
from tests.conformance.test_model import SIZE
from tests.patient import PATIENT
from tests.servers.postgres import Admin
from umbel.brokers.postgres import PostgresBroker
from umbel.stores.postgres import PostgresStore


class OnPostgres(BrokerMachine):
    url: ClassVar[str]
    admin: ClassVar[Admin]

    def __init__(self) -> None:
        self.admin.empty()
        super().__init__()

    def make(self, clock: Callable[[], float]) -> PostgresBroker:
        return PostgresBroker(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> PostgresStore:
        return PostgresStore(self.url, PATIENT, clock)


def test_postgresql_answers_as_the_model_does(postgres_url: str, postgres_admin: Admin) -> None:
    machine = type("Machine", (OnPostgres,), {"url": postgres_url, "admin": postgres_admin})
    run_state_machine_as_test(machine, settings=SIZE)
