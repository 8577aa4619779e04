"""Depths: how many jobs all queues together held over time."""

from __future__ import annotations

import msgspec

from umbel.contracts.history import Transaction
from umbel.history.jobs import seconds
from umbel.history.window import Window


class Depth(msgspec.Struct, frozen=True):
    """What all queues held from *at* on, in the mean; *oldest* is the greatest age of a job that was ready."""

    at: float
    ready: float
    delayed: float
    running: float
    held: float
    oldest: float | None


class Depths(msgspec.Struct, frozen=True):
    """Points of *span* seconds each, the same as those of a `Series` of the window; those without samples left out."""

    span: int
    start: float
    end: float
    points: tuple[Depth, ...]


def depths(transaction: Transaction, window: Window) -> Depths:
    """What all queues held in *window*; at most 400 points."""
    step, start, end = window.step, window.start, window.end
    rows = transaction.rows("depths.together", step, int(start) // step * step, int(end))
    found = tuple(
        Depth(float(at), float(ready), float(delayed), float(running), float(held), seconds(oldest))
        for at, ready, delayed, running, held, oldest in rows
    )
    return Depths(step, start, end, found)
