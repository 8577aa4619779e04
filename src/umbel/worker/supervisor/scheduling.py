"""The scheduler of a worker or of `umbel beat`: made of what the forkserver told of the app's code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from umbel.contracts.capabilities import Power, demand, powers_of
from umbel.contracts.schedules import ScheduleHolder
from umbel.engines.address import masked
from umbel.model.ids import new_session
from umbel.model.schedule import Entry
from umbel.scheduler.living import living_at
from umbel.scheduler.scheduler import Scheduler, Terms
from umbel.settings import Settings

LONGEST_SECONDS: Final = 10.0
"""A scheduler announces its code's schedules more often than every 15 s, so it must look more often, too."""
USUAL_SECONDS: Final = 5.0


def make_scheduler(broker: object, main: str, settings: Settings, entries: Sequence[Entry]) -> Scheduler | None:
    """The scheduler of the app *main* on *broker*; None if that holds no schedules and the code has none.

    Raises `ImproperlyConfigured` if the code has some.
    """
    if not entries and Power.SCHEDULES not in powers_of(broker):
        return None
    names = ", ".join(entry.name for entry in entries[:3])
    demand(broker, Power.SCHEDULES, f"a schedule ({names})", masked(settings.broker_url))
    if not isinstance(broker, ScheduleHolder):
        return None
    interval = min(settings.beat_max_loop_interval or USUAL_SECONDS, LONGEST_SECONDS)
    terms = Terms(session=new_session(), scope=main, interval=interval)
    return Scheduler(broker.schedule_store, living_at(broker), terms, entries)
