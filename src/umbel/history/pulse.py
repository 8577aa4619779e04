"""Pulse: how busy each task was over time, for the small lines of a list."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.labels import Labels
from umbel.history.window import Window

POINTS: Final = 60
"""About how many points there are; those of a week are hours."""
MAX_TASKS: Final = 50
"""Of how many tasks, the busiest, there is a pulse: more of them nobody looks at, and to read them takes long."""


class Pulse(msgspec.Struct, frozen=True):
    """Jobs that ended, of each of the busiest *tasks*, in steps of *span* seconds from *start* on."""

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
    busiest = _busiest(transaction, window)
    for task, at, ended in transaction.among("pulse.tasks", busiest, span, step, first, int(end)):
        place = (int(at) - first) // step
        if place < places:
            found.setdefault(int(task), [0] * places)[place] = int(ended)
    names = labels.names(transaction, found)
    return Pulse(step, float(first), {names[task]: tuple(counts) for task, counts in found.items()})


def _busiest(transaction: Transaction, window: Window) -> list[int]:
    """The numbers of the tasks of which most jobs ended; counted by so long a span that few rows are read."""
    long = (window.end - window.start) / 4
    span = max((each for each in window.spans if each <= long), default=window.spans[0])
    ended = {
        int(task): int(succeeded + failed + revoked + dead)
        for task, _, succeeded, failed, _, revoked, dead in transaction.rows(
            "reading.counts_by_task", span, int(window.start) // span * span, int(window.end)
        )
    }
    return sorted(ended, key=lambda task: (-ended[task], task))[:MAX_TASKS]
