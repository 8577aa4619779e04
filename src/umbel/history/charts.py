"""Charts: what happened over time, percentiles, and errors in groups; all of it from roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from umbel.contracts.history import Transaction
from umbel.history.histogram import merge, percentiles, unpacked
from umbel.history.labels import Labels
from umbel.history.rollups import SPANS
from umbel.history.views import ErrorGroup, Point, Series, Totals

MAX_POINTS: Final = 400
MAX_ROWS: Final = 50_000
MAX_BUCKETS: Final = 60
"""Of how many buckets a total is made: each has a row for every task that was active."""
SHARES: Final = (0.5, 0.95, 0.99)
STEPS: Final = (10, 30, 60, 120, 300, 600, 3_600, 21_600, 86_400, 604_800)
"""How long a point of a chart may be, in seconds."""


def series(transaction: Transaction, start: float, end: float, task: str, queue: str) -> Series:
    """Points from *start* to *end* of all jobs, or of those of one *task* or one *queue*."""
    step = next((each for each in STEPS if (end - start) / each < MAX_POINTS), STEPS[-1])
    span = max(each for each in SPANS if each <= step)
    numbers = [_number(transaction, sort, name) for sort, name in (("task", task), ("queue", queue))]
    first = int(start) // step * step
    rows = [] if None in numbers else transaction.rows("reading.series", span, *numbers, first, int(end))
    points: dict[int, _Sum] = {}
    for bucket, *rest in rows:
        points.setdefault(int(bucket) // step * step, _Sum()).add(rest)
    return Series(step, start, end, tuple(Point(at, *found.figures()) for at, found in sorted(points.items())))


def totals(transaction: Transaction, labels: Labels, start: float, end: float, by: str) -> list[Totals]:
    """Counts and percentiles from *start* to *end* for each task, or each queue; the busiest first."""
    span = next(each for each in SPANS if (end - start) / each <= MAX_BUCKETS or each == SPANS[-1])
    first = int(start) // span * span
    found: dict[int, _Sum] = {}
    place = 0 if by == "task" else 1
    for row in transaction.rows("reading.rollups", span, first, int(end), MAX_ROWS):
        if row[place]:
            found.setdefault(int(row[place]), _Sum()).add(row[2:])
    names = labels.names(transaction, found)
    every = [Totals(names[number], *each.figures()) for number, each in found.items()]
    return sorted(every, key=lambda each: (-(each.succeeded + each.failed + each.dead + each.sent), each.name))


def error_groups(transaction: Transaction, start: float, end: float, limit: int) -> list[ErrorGroup]:
    """The groups of errors with the most from *start* to *end*."""
    counts = {int(group): int(n) for group, n in transaction.rows("reading.error_counts", _minute(start), int(end))}
    most = sorted(counts, key=lambda group: (-counts[group], group))[:limit]
    rows = transaction.among("reading.error_groups", most) if most else []
    found = [_group(transaction, row, counts[int(row[0])], ()) for row in rows]
    return sorted(found, key=lambda group: (-group.count, group.id))


def error_group(transaction: Transaction, group: int, start: float, end: float) -> ErrorGroup | None:
    """One group, with its counts by minute."""
    rows = transaction.rows("reading.error", group)
    if not rows:
        return None
    minutes = [
        (int(minute), int(n))
        for minute, n in transaction.rows("reading.error_minutes", group, _minute(start), int(end))
    ]
    return _group(transaction, rows[0], sum(n for _, n in minutes), minutes)


def _group(transaction: Transaction, row: Sequence[Any], count: int, minutes: Sequence[tuple[int, int]]) -> ErrorGroup:
    number, fingerprint, kind, template, frame, first, last, total, seq, status = row
    job = transaction.rows("reading.job_of", seq)
    return ErrorGroup(
        id=number,
        fingerprint=fingerprint,
        type=kind,
        template=template,
        frame=frame,
        first_seen=first,
        last_seen=last,
        count=count,
        total=total,
        status=status,
        sample=job[0][0] if job else None,
        minutes=tuple(minutes),
    )


def _number(transaction: Transaction, sort: str, name: str) -> int | None:
    if not name:
        return 0
    found = transaction.rows("search.named", sort, name)
    return int(found[0][0]) if found else None


def _minute(at: float) -> int:
    return int(at) // 60 * 60


class _Sum:
    """Rows of roll-ups, added up."""

    def __init__(self) -> None:
        self._counts = [0] * 6
        self._waits: dict[int, int] = {}
        self._runs: dict[int, int] = {}

    def add(self, row: Sequence[Any]) -> None:
        """Add the counts and histograms of *row*."""
        *counts, waits, runs = row
        self._counts = [old + int(new) for old, new in zip(self._counts, counts, strict=True)]
        merge(self._waits, unpacked(waits))
        merge(self._runs, unpacked(runs))

    def figures(self) -> tuple[Any, ...]:
        """The fields of a `Point` or of `Totals`."""
        return (*self._counts, tuple(percentiles(self._waits, SHARES)), tuple(percentiles(self._runs, SHARES)))
