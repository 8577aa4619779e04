"""Counters: numbers that are handed out without a hole; only one writer has them at a time."""

from __future__ import annotations

from typing import Literal

from umbel.contracts.history import Transaction


class Counters:
    """The counters within one transaction; `save` before it ends."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._at = {str(name): int(value) for name, value in transaction.rows("ingest.counters")}
        self._read = dict(self._at)

    def take(self, name: Literal["seq", "change", "name", "error"], count: int) -> range:
        """The next *count* numbers."""
        first = self._at[name] + 1
        self._at[name] += count
        return range(first, first + count)

    def save(self) -> None:
        """Write what was taken."""
        for name, value in self._at.items():
            if value != self._read[name]:
                self._transaction.rows("ingest.count", name, value)
