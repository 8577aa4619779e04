"""Admission: which batches are new. Of each source the greatest number is kept, and the gaps below it.

So a batch counts once however often and in whatever order batches come, and what did not come is known as a gap. A gap
that is before all that is known of a source may be older than the history.
"""

from __future__ import annotations

from collections.abc import Sequence

from umbel.contracts.history import Transaction
from umbel.history.bounds import short
from umbel.history.names import Naming
from umbel.model.event import VERSION, Batch


def admitted(transaction: Transaction, naming: Naming, batches: Sequence[Batch], now: float) -> list[Batch]:
    """Those of *batches* that were not written yet; from now on they count as written."""
    naming.prepare("worker", {short(batch.worker) for batch in batches})
    fresh: list[Batch] = []
    by_source: dict[str, list[Batch]] = {}
    for batch in batches:
        if batch.number > 0 and 0 < batch.version <= VERSION:
            by_source.setdefault(short(batch.source), []).append(batch)
    known = _known(transaction, list(by_source))
    rows: list[tuple[object, ...]] = []
    for source, told in by_source.items():
        upto = known.get(source, 0)
        new = _of_source(transaction, source, told, upto, now)
        newest = max(told, key=lambda batch: batch.number)
        dropped = sum(max(0, batch.dropped) for batch in new)
        rows.append((source, max(newest.number, upto), naming("worker", short(newest.worker)), dropped, now))
        fresh += new
    transaction.many("ingest.put_sources", rows)
    return fresh


def _of_source(transaction: Transaction, source: str, told: Sequence[Batch], known: int, now: float) -> list[Batch]:
    """The new ones among what one source has told, in the order of their numbers; *known* is its greatest number."""
    fresh: list[Batch] = []
    upto = known
    for batch in sorted(told, key=lambda batch: batch.number):
        if batch.number > upto:
            if batch.number > upto + 1:
                opening = int(known == 0 and upto == 0)
                transaction.rows("ingest.put_gap", source, upto + 1, batch.number - 1, now, opening)
            upto = batch.number
            fresh.append(batch)
        elif batch.number <= known and _filled(transaction, source, batch.number):
            fresh.append(batch)
    return fresh


def _known(transaction: Transaction, sources: Sequence[str]) -> dict[str, int]:
    found = transaction.among("ingest.sources", sources) if sources else []
    return {str(source): int(upto) for source, upto in found}


def _filled(transaction: Transaction, source: str, number: int) -> bool:
    """Whether *number* was in a gap; the gap is cut around it."""
    found = transaction.rows("ingest.gap", source, number)
    if not found:
        return False
    first, last, at, opening = found[0]
    transaction.rows("ingest.drop_gap", source, first)
    for low, high in ((first, number - 1), (number + 1, last)):
        if low <= high:
            transaction.rows("ingest.put_gap", source, low, high, at, opening)
    return True
