"""Wall-clock times as moments: which fields match, and what becomes of times that the clocks skip or show twice.

A *fixed* time runs once a day: at the first of two moments that show it, or at the first one after the gap that skips
it. Others run at every moment that shows them. Everything here counts in whole seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

import msgspec

SEARCHED_YEARS: Final = 50
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - what clocks show has no zone
_DAY: Final = 86_400


class Times(msgspec.Struct, frozen=True):
    """Fields that match, each sorted; *day* tells whether a day of those months does."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    months: frozenset[int]
    day: Callable[[date], bool]
    fixed: bool

    def after(self, wall: datetime) -> datetime | None:
        """The first time after *wall*, both as clocks show them; None if there is none within 50 years."""
        today = wall.date()
        later = self._later(wall.time()) if today.month in self.months and self.day(today) else None
        if later is not None:
            return datetime.combine(today, later)
        found = self._day_after(today)
        return None if found is None else datetime.combine(found, time(self.hours[0], self.minutes[0], self.seconds[0]))

    def _later(self, now: time) -> time | None:
        """The first time of the day after *now*."""
        if now.hour in self.hours:
            second = _above(self.seconds, now.second) if now.minute in self.minutes else None
            if second is not None:
                return time(now.hour, now.minute, second)
            minute = _above(self.minutes, now.minute)
            if minute is not None:
                return time(now.hour, minute, self.seconds[0])
        hour = _above(self.hours, now.hour)
        return None if hour is None else time(hour, self.minutes[0], self.seconds[0])

    def _day_after(self, today: date) -> date | None:
        day, last = today + timedelta(days=1), today.year + SEARCHED_YEARS
        while day.year <= last:
            if day.month not in self.months:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
            elif self.day(day):
                return day
            else:
                day += timedelta(days=1)
        return None


def first_after(times: Times, moment: int, zone: tzinfo) -> int | None:
    """The first moment after *moment* (unix ms) at which *times* are due in *zone*, or None."""
    seconds = moment // 1000
    found = _fixed(times, seconds, zone) if times.fixed and zone is not UTC else _shown(times, seconds, zone)
    return None if found is None else found * 1000


def _fixed(times: Times, after: int, zone: tzinfo) -> int | None:
    wall = times.after(_wall(after + _offset(after, zone)))
    while wall is not None:
        found = _moment(wall, zone)
        if found > after:  # in a repeated hour the clock may show a time that has been
            return found
        wall = times.after(wall)
    return None


def _shown(times: Times, after: int, zone: tzinfo) -> int | None:
    start, offset = after, _offset(after, zone)
    while (wall := times.after(_wall(start + offset))) is not None:
        found = _seconds(wall) - offset
        if _offset(found, zone) == offset:
            return found
        # The clocks are changed before: on from there, as they go then.
        change = _change(start, found, offset, zone)
        start, offset = change - 1, _offset(change, zone)
    return None


def _moment(wall: datetime, zone: tzinfo) -> int:
    """When the clock shows *wall* for the first time, or the end of the gap that skips it."""
    first = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    if _wall(first + _offset(first, zone)) == wall:
        return first
    # Skipped: before the change it would be `first`, which is after it, and after the change it would be before it.
    low, high = int(wall.replace(tzinfo=zone, fold=1).timestamp()), first
    return _halved(low, high, _offset(high, zone), zone)


def _change(start: int, end: int, offset: int, zone: tzinfo) -> int:
    """The first moment after *start* at which the offset is another one; at *end* it is."""
    low, high = start, min(start + _DAY, end)
    while _offset(high, zone) == offset:
        low, high = high, min(high + _DAY, end)
    return _halved(low, high, _offset(high, zone), zone)


def _halved(low: int, high: int, offset: int, zone: tzinfo) -> int:
    """The first moment between *low*, where the offset is another one, and *high*, that has *offset*."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == offset:
            high = middle
        else:
            low = middle
    return high


def _offset(seconds: int, zone: tzinfo) -> int:
    if zone is UTC:
        return 0
    found = datetime.fromtimestamp(seconds, zone).utcoffset() or timedelta()
    return round(found.total_seconds())


def _wall(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _seconds(wall: datetime) -> int:
    return round((wall - _EPOCH).total_seconds())


def _above(numbers: Sequence[int], number: int) -> int | None:
    place = bisect_right(numbers, number)
    return numbers[place] if place < len(numbers) else None
