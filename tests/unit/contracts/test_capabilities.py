"""Which engine can do what, and the refusal of what one cannot."""

from __future__ import annotations

import re
from typing import Any

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.brokers.postgres.broker import PostgresBroker
from umbel.brokers.rabbitmq import HoldingBroker, PlainBroker, RabbitMQBroker
from umbel.brokers.redis.broker import RedisBroker
from umbel.brokers.sqlite.broker import SqliteBroker
from umbel.contracts.capabilities import BROKERS, Power, demand, powers_of
from umbel.contracts.flows import FlowHolder
from umbel.contracts.powers import TransactionalSender
from umbel.contracts.schedules import ScheduleHolder
from umbel.engines.memory import Space
from umbel.exceptions import ImproperlyConfigured

CLASSES: dict[str, type[Any]] = {
    "memory": MemoryBroker,
    "SQLite": SqliteBroker,
    "Redis": RedisBroker,
    "PostgreSQL": PostgresBroker,
    "RabbitMQ with Redis or SQL": HoldingBroker,
    "RabbitMQ with Sentinel or Cluster": RabbitMQBroker,
    "RabbitMQ alone": PlainBroker,
}


def test_every_built_in_broker_declares_its_powers() -> None:
    assert {name: cls.powers for name, cls in CLASSES.items()} == dict(BROKERS)


@pytest.mark.parametrize(
    ("power", "protocol"),
    [(Power.FLOWS, FlowHolder), (Power.SCHEDULES, ScheduleHolder), (Power.TRANSACTIONS, TransactionalSender)],
)
def test_a_broker_declares_a_power_exactly_when_it_has_its_verbs(power: Power, protocol: type) -> None:
    verbs = {name for name in protocol.__dict__ if not name.startswith("_")}
    having = {name for name, cls in CLASSES.items() if verbs <= set(dir(cls))}
    assert having == {name for name, powers in BROKERS.items() if power in powers}


def test_a_power_that_is_there_is_granted() -> None:
    demand(MemoryBroker(Space()), Power.FRONT, "this", "memory://")


def test_a_missing_power_is_refused_with_the_brokers_that_have_it() -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        demand(MemoryBroker(Space()), Power.HOSTS, "a worker", "memory://x")
    needed, told = str(refusal.value).split(": ", 1)
    assert needed == "a worker needs a broker that is shared by several hosts"
    assert told == (
        "memory://x does not, Redis, PostgreSQL, RabbitMQ with Redis or SQL, RabbitMQ with Sentinel or Cluster and "
        "RabbitMQ alone do"
    )


def test_a_power_of_one_broker_names_that_one() -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape("memory:// does not, PostgreSQL does")):
        demand(MemoryBroker(Space()), Power.TRANSACTIONS, "send_in", "memory://")


def test_a_broker_that_says_nothing_has_no_power() -> None:
    assert powers_of(object()) == frozenset()
    with pytest.raises(ImproperlyConfigured):
        demand(object(), Power.PROCESSES, "a worker", "mine://")


def test_every_power_reads_on_after_the_engine() -> None:
    for power in Power:
        assert re.fullmatch(r"[a-z]+s [^.]+", power.value), power
