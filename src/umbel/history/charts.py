"""Charts: what happened over time, and percentiles; all of it from roll-ups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from umbel.contracts.history import Transaction
from umbel.history.histogram import percentiles, together
from umbel.history.labels import Labels
from umbel.history.rollups import COUNTS
from umbel.history.views import Point, Series, Totals
from umbel.history.window import Window

MAX_ROWS: Final = 30_000
"""Of how many roll-ups totals are made; above it, of those of the next longer span."""
MAX_BUCKETS: Final = 60
"""Of how many buckets a total is made: each has a row for every task that was active."""
SHARES: Final = (0.5, 0.95, 0.99)


def series(transaction: Transaction, window: Window, task: str, queue: str) -> Series:
    """Points of *window* of all jobs, or of those of one *task* or one *queue*."""
    step, start, end = window.step, window.start, window.end
    span = max(each for each in window.spans if each <= step)
    numbers = [_number(transaction, sort, name) for sort, name in (("task", task), ("queue", queue))]
    first = int(start) // step * step
    rows = [] if None in numbers else transaction.rows("reading.series", span, *numbers, first, int(end))
    points: defaultdict[int, _Figures] = defaultdict(_Figures)
    for bucket, *rest in rows:
        points[int(bucket) // step * step].add(rest)
    return Series(step, start, end, tuple(Point(at, *found.told()) for at, found in sorted(points.items())))


def totals(transaction: Transaction, labels: Labels, window: Window, by: str) -> list[Totals]:
    """Counts and percentiles of *window* for each task, or each queue; the busiest first."""
    span, times = _times(transaction, window, by)
    return _busiest_first(transaction, labels, _counts(transaction, window, by, span), times)


def busiest(transaction: Transaction, labels: Labels, window: Window, most: int) -> list[Totals]:
    """What `totals` have of the *most* busiest tasks; histograms of others are not read."""
    span = next(_spans(window))
    counts = _counts(transaction, window, "task", span)
    chosen = sorted(counts, key=lambda number: (-_busy(counts[number]), number))[:most]
    times = transaction.among("reading.times_of", chosen, span, int(window.start) // span * span, int(window.end))
    return _busiest_first(transaction, labels, {number: counts[number] for number in chosen}, times)


def _counts(transaction: Transaction, window: Window, by: str, span: int) -> dict[int, list[int]]:
    rows = transaction.rows(f"reading.counts_by_{by}", span, int(window.start) // span * span, int(window.end))
    return {int(number): [int(count) for count in counts] for number, *counts in rows}


def _busy(counts: Sequence[int]) -> int:
    named = dict(zip(COUNTS, counts, strict=True))
    return named["succeeded"] + named["failed"] + named["dead"] + named["sent"]


def _busiest_first(
    transaction: Transaction, labels: Labels, counts: Mapping[int, list[int]], times: Iterable[tuple[Any, ...]]
) -> list[Totals]:
    found: defaultdict[int, _Figures] = defaultdict(_Figures)
    for number, each in counts.items():
        found[number].counts = each
    for number, waits, runs in times:
        figures = found[int(number)]
        figures.waits.append(waits)
        figures.runs.append(runs)
    names = labels.names(transaction, found)
    order = sorted(found.items(), key=lambda each: (-_busy(each[1].counts), names[each[0]]))
    return [Totals(names[number], *each.told()) for number, each in order]


def total(transaction: Transaction, window: Window, task: str) -> Totals | None:
    """What `totals` have of one *task*; None if it did nothing in *window*."""
    number, span = _number(transaction, "task", task), next(_spans(window))
    if number is None:
        return None
    found = _Figures()
    for _, *rest in transaction.rows(
        "reading.series", span, number, 0, int(window.start) // span * span, int(window.end)
    ):
        found.add(rest)
    return Totals(task, *found.told()) if found.waits else None


def _spans(window: Window) -> Iterator[int]:
    """The spans that totals of *window* may be made of, the shortest first."""
    length = window.end - window.start
    return iter([span for span in window.spans if length / span <= MAX_BUCKETS] or window.spans[-1:])


def _times(transaction: Transaction, window: Window, by: str) -> tuple[int, list[tuple[Any, ...]]]:
    """The histograms of *window*, and by which span they are: the shortest one that has not too many."""
    start, end = window.start, window.end

    def ask(span: int) -> list[tuple[Any, ...]]:
        first = int(start) // span * span
        return transaction.rows(f"reading.times_by_{by}", span, first, int(end), MAX_ROWS + 1)

    spans = _spans(window)
    span = next(spans)
    rows = ask(span)
    for longer in spans:
        if len(rows) <= MAX_ROWS:
            break
        span, rows = longer, ask(longer)
    return span, rows


def _number(transaction: Transaction, sort: str, name: str) -> int | None:
    if not name:
        return 0
    found = transaction.rows("search.named", sort, name)
    return int(found[0][0]) if found else None


class _Figures:
    """Rows of roll-ups: counts added up, histograms kept to be added up at the end."""

    def __init__(self) -> None:
        self.counts = [0] * len(COUNTS)
        self.waits: list[bytes] = []
        self.runs: list[bytes] = []

    def add(self, row: Sequence[Any]) -> None:
        """Add the counts and histograms of *row*."""
        *counts, waits, runs = row
        self.counts = [old + int(new) for old, new in zip(self.counts, counts, strict=True)]
        self.waits.append(waits)
        self.runs.append(runs)

    def told(self) -> tuple[Any, ...]:
        """The fields of a `Point` or of `Totals`."""
        return (*self.counts, *(tuple(percentiles(together(each), SHARES)) for each in (self.waits, self.runs)))
