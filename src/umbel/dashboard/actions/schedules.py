"""What can be done to schedules."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.dashboard.page import Action, Done
from umbel.dashboard.visit import Visit


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a schedule."""

    name: str


def _name(schedule: Schedule) -> str:
    return schedule.name


async def run(visit: Visit, schedule: Schedule) -> Done:
    """Send a job of it now, beside its ticks."""
    job = await visit.app.schedules.arun(schedule.name)
    return Done(f"Sent a job of {schedule.name}.", ids=(job,))


async def pause(visit: Visit, schedule: Schedule) -> Done:
    """Let no tick of it run until it is resumed."""
    await visit.app.schedules.apause(schedule.name)
    return Done(f"Paused {schedule.name}.")


async def resume(visit: Visit, schedule: Schedule) -> Done:
    """Go on with it, from now."""
    await visit.app.schedules.aresume(schedule.name)
    return Done(f"Resumed {schedule.name}; what it missed does not run.")


ACTIONS: Final = (
    Action(path="/schedules/run", right="schedules.run", do=run, target=_name, takes=Schedule),
    Action(path="/schedules/pause", right="schedules.pause", do=pause, target=_name, takes=Schedule),
    Action(path="/schedules/resume", right="schedules.pause", do=resume, target=_name, takes=Schedule),
)
