"""Results in Redis: one STRING a job, written by the broker's settle or, with another broker, by this store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umbel.stores.redis.store import RedisResultStore

if TYPE_CHECKING:
    from umbel.settings import Settings

__all__ = ["RedisResultStore", "connect"]


def connect(url: str, settings: Settings) -> RedisResultStore:
    """The store at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    return RedisResultStore(url, settings)
