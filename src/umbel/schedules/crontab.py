"""Celery's crontab: five fields that must all match."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from typing import Final, TypeAlias

from umbel.schedules.cron import MAX_TEXT, NAMED, bounded
from umbel.schedules.fields import DAY, HOUR, MINUTE, MONTH, WEEKDAY
from umbel.schedules.rule import Rule
from umbel.schedules.wall import Times, first_after

Spec: TypeAlias = int | str | Iterable[int | str]
"""What a field may be: a number, text such as ``*/5``, ``9-17``, ``mon,fri``, or several of them."""

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
        self._times = Times(
            tuple(sorted(self.hour)),
            tuple(sorted(self.minute)),
            (0,),
            self.month_of_year,
            self._matches,
            fixed=not (read[0][0].startswith("*") or read[1][0].startswith("*")),
        )
        if self._times.after(_ANY_MOMENT) is None:
            raise ValueError(f"crontab {self._text!r} is never due: no such day comes within 50 years")

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
        return first_after(self._times, moment, zone)

    def _matches(self, day: date) -> bool:
        return day.day in self.day_of_month and day.isoweekday() % 7 in self.day_of_week

    def __repr__(self) -> str:
        return f"<crontab: {self._text} (m/h/dM/MY/d)>"
