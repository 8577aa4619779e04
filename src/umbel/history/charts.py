"""Charts: what happened over time, and percentiles; all of it from roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from umbel.contracts.history import Transaction
from umbel.history.histogram import merge, percentiles, unpacked
from umbel.history.labels import Labels
from umbel.history.rollups import SPANS
from umbel.history.views import Point, Series, Totals

MAX_POINTS: Final = 400
MAX_ROWS: Final = 50_000
MAX_BUCKETS: Final = 60
"""Of how many buckets a total is made: each has a row for every task that was active."""
SHARES: Final = (0.5, 0.95, 0.99)
STEPS: Final = (10, 30, 60, 120, 300, 600, 3_600, 21_600, 86_400, 604_800)
"""How long a point of a chart may be, in seconds."""


def series(transaction: Transaction, start: float, end: float, task: str, queue: str) -> Series:
    """Points from *start* to *end* of all jobs, or of those of one *task* or one *queue*."""
    step = step_of(start, end)
    span = max(each for each in SPANS if each <= step)
    numbers = [_number(transaction, sort, name) for sort, name in (("task", task), ("queue", queue))]
    first = int(start) // step * step
    rows = [] if None in numbers else transaction.rows("reading.series", span, *numbers, first, int(end))
    points: dict[int, _Sum] = {}
    for bucket, *rest in rows:
        points.setdefault(int(bucket) // step * step, _Sum()).add(rest)
    return Series(step, start, end, tuple(Point(at, *found.figures()) for at, found in sorted(points.items())))


def step_of(start: float, end: float) -> int:
    """How many seconds a point of a chart from *start* to *end* is long."""
    return next((each for each in STEPS if (end - start) / each < MAX_POINTS), STEPS[-1])


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


def _number(transaction: Transaction, sort: str, name: str) -> int | None:
    if not name:
        return 0
    found = transaction.rows("search.named", sort, name)
    return int(found[0][0]) if found else None


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
