"""Claims in Redis: one script a verb, each one atomic step on one queue's keys, beside the records of its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umbel.claims.redis.store import RedisClaims

if TYPE_CHECKING:
    from umbel.settings import Settings

__all__ = ["RedisClaims", "connect"]


def connect(url: str, settings: Settings) -> RedisClaims:
    """The claims at *url*; nothing is opened before its first use. Raises `ImproperlyConfigured`."""
    return RedisClaims(url, settings)
