"""Flows: how many of their jobs are in which state, kept as those change, so that nobody has to count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from umbel.contracts.history import Transaction
from umbel.history.record import JobRecord


class FlowCounts:
    """What a transaction changes in the counts of flows."""

    def __init__(self) -> None:
        self._changes: Counter[tuple[str, int]] = Counter()

    def leave(self, flow: str | None, state: int) -> None:
        """A job of *flow* is in *state* no longer."""
        if flow is not None:
            self._changes[flow, state] -= 1

    def enter(self, flow: str | None, state: int) -> None:
        """A job of *flow* is in *state* now."""
        if flow is not None:
            self._changes[flow, state] += 1

    def enter_all(self, records: Iterable[JobRecord]) -> None:
        """Each of *records* is as it is."""
        for record in records:
            self.enter(record.flow_id, record.state)

    def save(self, transaction: Transaction, now: float) -> None:
        """Write them, and that the flows were heard of."""
        changed = [(*key, n) for key, n in sorted(self._changes.items()) if n]
        transaction.many("ingest.flow_counts", changed)
        transaction.many("ingest.flows_heard", [(flow, now) for flow in sorted({flow for flow, _ in self._changes})])
