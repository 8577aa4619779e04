"""Schedules: rules that say when a periodic job is due. Plain values: no I/O, no clock.

Celery's names: `crontab`, `schedule` (an interval), `solar`; new: `cron` (cron text, seconds too), `clocked` (once).
"""

from __future__ import annotations

from umbel.schedules.clocked import clocked
from umbel.schedules.cron import cron
from umbel.schedules.crontab import crontab
from umbel.schedules.interval import schedule
from umbel.schedules.reading import maybe_schedule, parse
from umbel.schedules.rule import Rule
from umbel.schedules.solar import solar
from umbel.schedules.zones import zone_of

__all__ = ["Rule", "clocked", "cron", "crontab", "maybe_schedule", "parse", "schedule", "solar", "zone_of"]
