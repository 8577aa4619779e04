"""PostgreSQL against the model, through any sequence of verbs that Hypothesis can think of."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.machine import BrokerMachine
from tests.conformance.test_model import SIZE
from tests.servers.postgres import empty
from umbel.brokers.postgres import PostgresBroker
from umbel.settings import Settings
from umbel.stores.postgres import PostgresStore


class OnPostgres(BrokerMachine):
    url: ClassVar[str]

    def __init__(self) -> None:
        empty(self.url)
        super().__init__()

    def make(self, clock: Callable[[], float]) -> PostgresBroker:
        return PostgresBroker(self.url, Settings(), clock)

    def make_store(self, clock: Callable[[], float]) -> PostgresStore:
        return PostgresStore(self.url, Settings(), clock)


def test_postgresql_answers_as_the_model_does(postgres_url: str) -> None:
    machine = type("Machine", (OnPostgres,), {"url": postgres_url})
    run_state_machine_as_test(machine, settings=SIZE)
