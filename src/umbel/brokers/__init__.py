"""Brokers: the contract of `umbel.contracts.broker` on each engine. `connect` is the one look-up by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from umbel.engines.address import broker_address, factory

if TYPE_CHECKING:
    from umbel.contracts.broker import Broker
    from umbel.settings import Settings

BUILT_IN: Final = {
    "memory": "umbel.brokers.memory:connect",
    "sqlite": "umbel.brokers.sqlite:connect",
    "redis": "umbel.brokers.redis:connect",
    "rediss": "umbel.brokers.redis:connect",
    "redis+socket": "umbel.brokers.redis:connect",
    "redis+sentinel": "umbel.brokers.redis:connect",
    "rediss+sentinel": "umbel.brokers.redis:connect",
    "sentinel": "umbel.brokers.redis:connect",
    "redis+cluster": "umbel.brokers.redis:connect",
    "rediss+cluster": "umbel.brokers.redis:connect",
    "postgresql": "umbel.brokers.postgres:connect",
    "postgres": "umbel.brokers.postgres:connect",
    "amqp": "umbel.brokers.rabbitmq:connect",
    "amqps": "umbel.brokers.rabbitmq:connect",
}
"""Scheme to ``module:factory``; a factory takes (url, settings) and opens nothing yet."""


def connect(url: str, settings: Settings) -> Broker:
    """The broker at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    make: Any = factory(url, BUILT_IN, "umbel.brokers", "broker")
    broker: Broker = make(broker_address(url, settings), settings)
    return broker
