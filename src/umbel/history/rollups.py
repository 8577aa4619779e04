"""Roll-ups: counts and histograms by 10 s, minute, hour and day; of all jobs, of each task, and of each queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.bounds import moment, number, short
from umbel.history.histogram import add, merge, packed, unpacked
from umbel.history.names import Naming
from umbel.model.event import Tally

SPANS: Final = (10, 60, 3_600, 86_400)
DAY: Final = 86_400.0
KEPT: Final = dict(zip(SPANS, (DAY, 14 * DAY, 400 * DAY, 400 * DAY), strict=True))
"""How long the rows of each span are kept, in seconds."""
WIDTH: Final = 100_000
"""A bucket and its span as one number: the bucket times this, and the span."""
Key: TypeAlias = tuple[int, int, int, int]
"""Span, task, queue and bucket."""
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
    sums = _summed([_counted(naming, tally, now) for tally in tallies])
    _with_stored(transaction, sums)
    transaction.many("ingest.put_rollups", [_row(key, found) for key, found in sorted(sums.items())])


def _counted(naming: Naming, tally: Tally, now: float) -> tuple[int, int, int, Sum]:
    """Task, queue, moment and counts of *tally*."""
    counts = [max(0, number(getattr(tally, name), 0)) for name in COUNTS]
    task, queue = naming("task", short(tally.task)), naming("queue", short(tally.queue))
    return task, queue, int(moment(tally.at, now)), Sum(counts, tally.waits, tally.runs)


def _summed(counted: Iterable[tuple[int, int, int, Sum]]) -> dict[Key, Sum]:
    sums: dict[Key, Sum] = {}
    for task, queue, at, told in counted:
        for span in SPANS:
            bucket = at // span * span
            for key in {(span, 0, 0, bucket), (span, task, 0, bucket), (span, 0, queue, bucket)}:
                found = sums.get(key)
                if found is None:
                    found = sums[key] = Sum([0] * len(COUNTS), {}, {})
                found.counts = [old + new for old, new in zip(found.counts, told.counts, strict=True)]
                add(found.waits, told.waits)
                add(found.runs, told.runs)
    return sums


def _with_stored(transaction: Transaction, sums: dict[Key, Sum]) -> None:
    """Add to *sums* what is stored of them: all by one statement, for each is a way to the server and back."""
    buckets = sorted({bucket * WIDTH + span for span, _, _, bucket in sums})
    tasks = transaction.bound(sorted({task for _, task, _, _ in sums}))
    for span, task, queue, bucket, *counts, waits, runs in transaction.among("ingest.rollups", buckets, tasks):
        found = sums.get((span, task, queue, bucket))
        if found is not None:
            found.counts = [new + int(old) for new, old in zip(found.counts, counts, strict=True)]
            merge(found.waits, unpacked(waits))
            merge(found.runs, unpacked(runs))


def _row(key: Key, found: Sum) -> list[Any]:
    return [*key, *found.counts, packed(found.waits), packed(found.runs)]
