"""Charts: what happened over time, and percentiles; all of it from roll-ups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from umbel.contracts.history import Transaction
from umbel.history.histogram import Sum, percentiles
from umbel.history.labels import Labels
from umbel.history.rollups import COUNTS, SPANS
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
    points: dict[int, _Figures] = {}
    for bucket, *rest in rows:
        points.setdefault(int(bucket) // step * step, _Figures()).add(rest)
    return Series(step, start, end, tuple(Point(at, *found.told()) for at, found in sorted(points.items())))


def step_of(start: float, end: float) -> int:
    """How many seconds a point of a chart from *start* to *end* is long."""
    return next((each for each in STEPS if (end - start) / each < MAX_POINTS), STEPS[-1])


def totals(transaction: Transaction, labels: Labels, start: float, end: float, by: str) -> list[Totals]:
    """Counts and percentiles from *start* to *end* for each task, or each queue; the busiest first."""
    span = next(each for each in SPANS if (end - start) / each <= MAX_BUCKETS or each == SPANS[-1])
    first = int(start) // span * span
    found: dict[int, _Figures] = {}
    for number, *counts in transaction.rows(f"reading.counts_by_{by}", span, first, int(end)):
        found.setdefault(int(number), _Figures()).counts = [int(count) for count in counts]
    for number, waits, runs in transaction.rows(f"reading.times_by_{by}", span, first, int(end), MAX_ROWS):
        figures = found.setdefault(int(number), _Figures())
        figures.waits.add(waits)
        figures.runs.add(runs)
    names = labels.names(transaction, found)
    every = [Totals(names[number], *each.told()) for number, each in found.items()]
    return sorted(every, key=lambda each: (-(each.succeeded + each.failed + each.dead + each.sent), each.name))


def _number(transaction: Transaction, sort: str, name: str) -> int | None:
    if not name:
        return 0
    found = transaction.rows("search.named", sort, name)
    return int(found[0][0]) if found else None


class _Figures:
    """Rows of roll-ups, added up."""

    def __init__(self) -> None:
        self.counts = [0] * len(COUNTS)
        self.waits = Sum()
        self.runs = Sum()

    def add(self, row: Sequence[Any]) -> None:
        """Add the counts and histograms of *row*."""
        *counts, waits, runs = row
        self.counts = [old + int(new) for old, new in zip(self.counts, counts, strict=True)]
        self.waits.add(waits)
        self.runs.add(runs)

    def told(self) -> tuple[Any, ...]:
        """The fields of a `Point` or of `Totals`."""
        times = [tuple(percentiles(each.counts(), SHARES)) for each in (self.waits, self.runs)]
        return (*self.counts, *times)
