"""Intervals: every so many seconds, counted from an anchor."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from umbel.schedules.rule import Rule, milliseconds

MIN_MILLISECONDS: Final = 100
MAX_MILLISECONDS: Final = 100 * 365 * 86_400_000
_DAY: Final = 86_400_000
_UNITS: Final = (3_600_000, 60_000, 1000)


class schedule(Rule):  # noqa: N801 - Celery's name
    """A tick every *run_every* seconds (a number or a timedelta, at least 0.1), without drift.

    The first is one interval after the schedule was first seen. With *relative* ticks are rounded down to the unit of
    the interval, as Celery does: one of days to local midnight, of hours to the full hour.
    *nowfun* and *app* are Celery's and not needed.
    """

    def __init__(
        self, run_every: float | timedelta, relative: bool = False, nowfun: object = None, app: object = None
    ) -> None:
        """Raises `TypeError` or `ValueError` for what is no interval."""
        del nowfun, app
        self.every = _every(run_every)
        self.relative = bool(relative)

    @property
    def run_every(self) -> timedelta:
        """The interval."""
        return timedelta(milliseconds=self.every)

    @property
    def text(self) -> str:
        """``every <seconds>``, or ``every <seconds> relative``."""
        return f"every {self.every / 1000:.15g}{' relative' if self.relative else ''}"

    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """See `Rule.tick_after`."""
        if not self.relative:
            return self._on_grid(moment, anchor)
        if self.every >= _DAY:
            return self._at_midnight(moment, zone, anchor)
        unit = next((size for size in _UNITS if self.every >= size), 1)
        return self._on_grid(moment, _local_floor(anchor, unit, zone))

    def _on_grid(self, moment: int, anchor: int) -> int:
        steps = (moment - anchor) // self.every + 1
        return anchor + max(steps, 1) * self.every

    def _at_midnight(self, moment: int, zone: tzinfo, anchor: int) -> int:
        days = self.every // _DAY
        first = datetime.fromtimestamp(anchor / 1000, zone).date()
        passed = (datetime.fromtimestamp(moment / 1000, zone).date() - first).days
        step = max(passed // days, 1)
        while True:  # at most twice: a midnight that was skipped begins later
            date = first + timedelta(days=step * days)
            tick = milliseconds(datetime(date.year, date.month, date.day, tzinfo=zone))
            if tick > moment:
                return tick
            step += 1


def _every(value: Any) -> int:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"run_every is {value!r}: give seconds or a timedelta")
    # A comparison that NaN fails too.
    if not MIN_MILLISECONDS <= value * 1000 <= MAX_MILLISECONDS:
        raise ValueError(f"run_every is {value!r}: give 0.1 seconds or more, and less than 100 years")
    return round(value * 1000)


def _local_floor(moment: int, unit: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(moment / 1000, zone).utcoffset() or timedelta()
    shift = round(offset.total_seconds() * 1000)
    return (moment + shift) // unit * unit - shift
