"""What a worker schedules, by what its broker holds."""

from __future__ import annotations

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.brokers.rabbitmq.broker import RabbitMQBroker
from umbel.engines.memory import Space
from umbel.exceptions import ImproperlyConfigured
from umbel.model.schedule import Entry
from umbel.settings import Settings
from umbel.worker.supervisor.scheduling import make_scheduler

ENTRIES = [Entry(name, "every 1", "task", b"") for name in ("a", "b")]


def test_a_worker_schedules_whether_or_not_its_code_has_schedules() -> None:
    broker = MemoryBroker(Space())
    assert make_scheduler(broker, "app", Settings(), ENTRIES) is not None
    assert make_scheduler(broker, "app", Settings(), []) is not None


def test_on_a_broker_that_holds_none_a_worker_without_schedules_starts() -> None:
    assert make_scheduler(object.__new__(RabbitMQBroker), "app", Settings(), []) is None


def test_on_a_broker_that_holds_none_a_worker_with_schedules_says_who_does() -> None:
    settings = Settings(broker_url="amqp://me:secret@host")
    with pytest.raises(ImproperlyConfigured) as refusal:
        make_scheduler(object.__new__(RabbitMQBroker), "app", settings, ENTRIES)
    text = str(refusal.value)
    assert text.startswith("a schedule (a, b) needs a broker that holds schedules: amqp://me:***@host does not, ")
    assert "Redis" in text
    assert "PostgreSQL" in text
