"""The broker in a PostgreSQL database: one SQL file a verb, each verb one transaction."""

from __future__ import annotations

from umbel.brokers.postgres.broker import PostgresBroker, connect

__all__ = ["PostgresBroker", "connect"]
