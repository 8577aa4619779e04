"""The rules of wall-clock schedules in the plainest way, minute by minute: what crontab is held against."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from umbel.schedules import crontab

MINUTE = timedelta(minutes=1)

# Zones with all the oddities: half an hour of summer time, one that goes back before midnight, a day that was skipped,
# offsets of three quarters, summer time that is negative, or interrupted by a month.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Asuncion",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Pacific/Chatham",
    "Pacific/Apia",
)


def ticks(rule: crontab, start: datetime, end: datetime) -> list[datetime]:
    """All ticks after *start*, up to *end*, in UTC; *start* is aware and at a whole minute."""
    minute, hour = rule.text.split()[1:3]
    wild = minute.startswith("*") or hour.startswith("*")
    found = _shown(rule, start, end) if wild else _fixed(rule, start, end)
    return sorted({tick for tick in found if start < tick <= end})


def _shown(rule: crontab, start: datetime, end: datetime) -> Iterator[datetime]:
    """Every minute at which the clock shows a time that matches: in both hours of a repeated one."""
    zone, moment = start.tzinfo, start.astimezone(UTC)
    while moment <= end:
        if _matches(rule, moment.astimezone(zone)):
            yield moment
        moment += MINUTE


def _fixed(rule: crontab, start: datetime, end: datetime) -> Iterator[datetime]:
    """Each time of each day, once: the first of two, and the end of the gap for one that is skipped."""
    zone = start.tzinfo
    assert zone is not None
    wall = (start - timedelta(days=1)).replace(tzinfo=None, hour=0, minute=0)
    while wall <= end.astimezone(zone).replace(tzinfo=None) + timedelta(days=1):
        if _matches(rule, wall):
            yield _first_valid(wall, zone)
        wall += MINUTE


def _first_valid(wall: datetime, zone: tzinfo) -> datetime:
    while True:
        moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            return moment
        wall += MINUTE


def _matches(rule: crontab, wall: datetime) -> bool:
    return (
        wall.minute in rule.minute
        and wall.hour in rule.hour
        and wall.day in rule.day_of_month
        and wall.month in rule.month_of_year
        and (wall.weekday() + 1) % 7 in rule.day_of_week
    )


def changes(name: str, first: int, last: int) -> list[datetime]:
    """The moments between the years *first* and *last* at which the clocks of the zone *name* are changed."""
    zone = ZoneInfo(name)
    found: list[datetime] = []
    moment = datetime(first, 1, 1, tzinfo=UTC)
    offset = moment.astimezone(zone).utcoffset()
    while moment.year < last:
        moment += timedelta(hours=1)
        now = moment.astimezone(zone).utcoffset()
        if now != offset:
            found.append(moment)
            offset = now
    return found
