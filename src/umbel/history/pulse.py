"""Pulse: how busy each task was over time, for the small lines of a list."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.labels import Labels
from umbel.history.window import Window

POINTS: Final = 60
"""About how many points there are; those of a week are hours."""
MAX_ROWS: Final = 100_000


class Pulse(msgspec.Struct, frozen=True):
    """Jobs that ended, of each of *tasks*, in steps of *span* seconds from *start* on."""

    span: int
    start: float
    tasks: dict[str, tuple[int, ...]]


def pulse(transaction: Transaction, labels: Labels, window: Window) -> Pulse:
    """How busy each task was in *window*."""
    start, end, spans = window.start, window.end, window.spans
    rough = (end - start) / POINTS
    span = max((each for each in spans if each <= rough), default=spans[0])
    step = max(span, int(rough) // span * span)
    first = int(start) // step * step
    places = int(end - first) // step + 1
    found: dict[int, list[int]] = {}
    for task, at, ended in transaction.rows("pulse.tasks", span, step, first, int(end), MAX_ROWS):
        place = (int(at) - first) // step
        if place < places:
            found.setdefault(int(task), [0] * places)[place] = int(ended)
    names = labels.names(transaction, found)
    return Pulse(step, float(first), {names[task]: tuple(counts) for task, counts in found.items()})
