"""Roll-ups: counts and histograms by 10 s, minute and hour; of all jobs, of each task, and of each queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.bounds import moment, number, short
from umbel.history.histogram import add, packed, unpacked
from umbel.history.names import Naming
from umbel.model.event import Tally

SPANS: Final = (10, 60, 3_600)
COUNTS: Final = ("sent", "succeeded", "failed", "retried", "revoked", "dead")


class Sum(msgspec.Struct, gc=False):
    """One row: what happened within a bucket."""

    counts: list[int]
    waits: dict[int, int]
    runs: dict[int, int]


def add_tallies(transaction: Transaction, naming: Naming, tallies: Sequence[Tally], now: float) -> None:
    """Add what sources have counted."""
    if not tallies:
        return
    naming.prepare("task", {short(tally.task) for tally in tallies})
    naming.prepare("queue", {short(tally.queue) for tally in tallies})
    for span in SPANS:
        sums = _summed(naming, tallies, now, span)
        _with_stored(transaction, span, sums)
        transaction.many("ingest.put_rollups", [_row(span, key, found) for key, found in sorted(sums.items())])


def _summed(naming: Naming, tallies: Iterable[Tally], now: float, span: int) -> dict[tuple[int, int, int], Sum]:
    sums: dict[tuple[int, int, int], Sum] = {}
    for tally in tallies:
        bucket = int(moment(tally.at, now)) // span * span
        task, queue = naming("task", short(tally.task)), naming("queue", short(tally.queue))
        for key in {(0, 0, bucket), (task, 0, bucket), (0, queue, bucket)}:
            found = sums.setdefault(key, Sum([0] * len(COUNTS), {}, {}))
            for place, name in enumerate(COUNTS):
                found.counts[place] += max(0, number(getattr(tally, name), 0))
            add(found.waits, tally.waits)
            add(found.runs, tally.runs)
    return sums


def _with_stored(transaction: Transaction, span: int, sums: dict[tuple[int, int, int], Sum]) -> None:
    buckets = sorted({bucket for _, _, bucket in sums})
    for task, queue, bucket, *counts, waits, runs in transaction.among("ingest.rollups", buckets, span):
        found = sums.get((task, queue, bucket))
        if found is not None:
            found.counts = [new + int(old) for new, old in zip(found.counts, counts, strict=True)]
            add(found.waits, unpacked(waits))
            add(found.runs, unpacked(runs))


def _row(span: int, key: tuple[int, int, int], found: Sum) -> list[Any]:
    return [span, *key, *found.counts, packed(found.waits), packed(found.runs)]
