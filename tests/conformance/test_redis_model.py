"""Redis against the model, through any sequence of verbs that Hypothesis can think of."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.machine import BrokerMachine
from tests.conformance.test_model import SIZE
from tests.patient import PATIENT
from tests.servers import Server
from tests.servers.redis import flush
from umbel.brokers.redis import RedisBroker
from umbel.stores.redis import RedisResultStore


class OnRedis(BrokerMachine):
    server: ClassVar[Server]

    def __init__(self) -> None:
        flush(self.server.port)
        super().__init__()

    def make(self, clock: Callable[[], float]) -> RedisBroker:
        return RedisBroker(self.server.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.server.url, PATIENT)


def test_redis_answers_as_the_model_does(redis_server: Server) -> None:
    redis_server.ensure_running()
    machine = type("Machine", (OnRedis,), {"server": redis_server})
    run_state_machine_as_test(machine, settings=SIZE)
