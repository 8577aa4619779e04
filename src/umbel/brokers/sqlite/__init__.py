"""The broker in one SQLite file: the embedded default, for all processes of one host."""

from __future__ import annotations

from umbel.brokers.sqlite.broker import SqliteBroker, connect

__all__ = ["SqliteBroker", "connect"]
