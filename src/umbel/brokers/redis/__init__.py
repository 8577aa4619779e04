"""The broker on Redis: one script a verb (``scripts/*.lua``), each one atomic step on one queue's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umbel.brokers.redis.broker import RedisBroker

if TYPE_CHECKING:
    from umbel.settings import Settings

__all__ = ["RedisBroker", "connect"]


def connect(url: str, settings: Settings) -> RedisBroker:
    """The broker at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    return RedisBroker(url, settings)
