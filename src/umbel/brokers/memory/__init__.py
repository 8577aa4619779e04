"""The broker in the memory of this process: ``memory://`` and ``memory://name``."""

from __future__ import annotations

from umbel.brokers.memory.broker import MemoryBroker, connect

__all__ = ["MemoryBroker", "connect"]
