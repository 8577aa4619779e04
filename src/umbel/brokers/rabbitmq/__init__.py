"""The broker on RabbitMQ: it carries the jobs, and a claim store keeps who runs them (`umbel.contracts.claims`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umbel import claims
from umbel.brokers.rabbitmq.broker import RabbitMQBroker
from umbel.brokers.rabbitmq.holding import HoldingBroker
from umbel.brokers.rabbitmq.plain import PlainBroker
from umbel.contracts.outbox import FlowKeeper

if TYPE_CHECKING:
    from umbel.settings import Settings

__all__ = ["HoldingBroker", "PlainBroker", "RabbitMQBroker", "connect"]


def connect(url: str, settings: Settings) -> RabbitMQBroker:
    """The broker at *url*, with its claims at ``result_backend`` if they can be held there.

    Nothing is opened before its first use. Raises `ImproperlyConfigured`.
    """
    if not claims.can_hold(settings.result_backend):
        return PlainBroker(url, settings)
    kept = claims.connect(settings.result_backend, settings)
    if isinstance(kept, FlowKeeper) and kept.keeps_flows:
        return HoldingBroker(url, settings, kept, kept)
    return RabbitMQBroker(url, settings, kept)
