"""Celery's crontab: five fields that must all match."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from typing import Final, TypeAlias

from umbel.schedules import fields
from umbel.schedules.cron import MAX_TEXT, NAMED, bounded, simulated
from umbel.schedules.fields import DAY, HOUR, MINUTE, MONTH, WEEKDAY
from umbel.schedules.rule import Rule, milliseconds

Spec: TypeAlias = int | str | Iterable[int | str]
"""What a field may be: a number, text such as ``*/5``, ``9-17``, ``mon,fri``, or several of them."""

_SEARCHED_YEARS: Final = 50
_ANY_MOMENT: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - only to see whether a day ever comes


class crontab(Rule):  # noqa: N801 - Celery's name
    """Ticks at wall-clock times, to the minute. **All** fields must match, the days as well (cron's own rule: `cron`).

    Numbers, iterables, or text: ``*``, ``*/n``, ``a-b``, ``a-b/n``, lists; names of days and months; Sunday is 0 or 7.
    Ranges wrap: hours ``22-4``. The time zone is the schedule's. A fixed time that the clocks skip runs at the first
    instant after the gap, one that is repeated runs once; with ``*`` in minute or hour it runs whenever it is shown.
    *nowfun* and *app* are Celery's and not needed.
    """

    def __init__(
        self,
        minute: Spec = "*",
        hour: Spec = "*",
        day_of_week: Spec = "*",
        day_of_month: Spec = "*",
        month_of_year: Spec = "*",
        **given: object,
    ) -> None:
        """Raises `ValueError` for a field that is malformed, and for a date that never comes."""
        if given.keys() - {"nowfun", "app"}:
            raise TypeError(f"crontab has no field {min(given.keys() - {'nowfun', 'app'})!r}")
        read = (MINUTE(minute), HOUR(hour), DAY(day_of_month), MONTH(month_of_year), WEEKDAY(day_of_week))
        self._text = " ".join(text for text, _ in read)
        self.minute, self.hour, self.day_of_month, self.month_of_year, self.day_of_week = (each for _, each in read)
        self._weekdays = frozenset((day - 1) % 7 for day in self.day_of_week)  # as datetime counts them: Monday is 0
        both = not (fields.is_any(read[2][0]) or fields.is_any(read[4][0]))
        self._filtered = both
        self._expression = " ".join((*(text for text, _ in read[:4]), "*" if both else read[4][0]))
        self._check()

    @classmethod
    def from_string(cls, text: str) -> crontab:
        """Five fields as one text, ``minute hour day month weekday``; also names such as ``@daily``."""
        if not isinstance(text, str):
            raise TypeError(f"crontab text is {text!r}: give text such as '*/5 * * * *'")
        parts = NAMED.get(text.strip().lower(), text[: MAX_TEXT + 1]).split()
        if len(parts) != 5:  # noqa: PLR2004 - the fields
            raise ValueError(f"{bounded(text)!r} has {len(parts)} fields: give five, or six with seconds to cron()")
        minute, hour, day, month, weekday = parts
        return cls(minute, hour, day_of_month=day, month_of_year=month, day_of_week=weekday)

    @property
    def text(self) -> str:
        """``crontab <minute> <hour> <day> <month> <weekday>``."""
        return f"crontab {self._text}"

    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """See `Rule.tick_after`."""
        del anchor
        start = datetime.fromtimestamp(moment / 1000, zone)
        last = start.year + _SEARCHED_YEARS
        while start.year <= last:
            tick = self._first(start, moment)
            if tick is None or not self._filtered or tick.weekday() in self._weekdays:
                return None if tick is None else milliseconds(tick)
            # No other time of that day, either: on from its last second.
            start = (tick.replace(hour=0, minute=0, second=0, fold=0, tzinfo=None) + timedelta(days=1)).replace(
                tzinfo=zone
            ) - timedelta(seconds=1)
        return None

    def _first(self, start: datetime, moment: int) -> datetime | None:
        for tick in simulated(self._expression, start):
            if milliseconds(tick) > moment:  # in a repeated hour the clock may show a time whose tick has passed
                return tick
        return None

    def _check(self) -> None:
        try:
            found = next(simulated(self._expression, _ANY_MOMENT), None)
        except ValueError as error:
            raise ValueError(f"crontab {self._text!r} is never due: no such day exists") from error
        if found is None:
            raise ValueError(f"crontab {self._text!r} is never due: no such day comes within 50 years")

    def __repr__(self) -> str:
        return f"<crontab: {self._text} (m/h/dM/MY/d)>"
