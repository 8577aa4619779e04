"""The pages of schedules: all of them, and one with its runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from umbel.app.schedules import ScheduleView
from umbel.dashboard.engine import ask
from umbel.dashboard.page import Missing, Nothing, Page
from umbel.dashboard.recall import recall
from umbel.dashboard.visit import Visit
from umbel.dashboard.wording import duration
from umbel.history.views import ScheduleRun
from umbel.schedules import parse, zone_of
from umbel.schedules.rule import milliseconds

FRESH_SECONDS: Final = 2.0
SHOWN_TICKS: Final = 5
SHOWN_RUNS: Final = 30
SHOWN_OF_ONE: Final = 100
MAX_RUNS: Final = 1_000
LATE_SECONDS: Final = 10.0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule. *words* is its rule in words, if there are any. Moments are unix seconds.

    *state* is "on", "paused", "off" (disabled in the code), or "over" (no tick will come). *next* are its next ticks,
    five at most, without what jitter adds. *watermark* is how far the engine has come with it: ticks up to then are
    over, also those that did not run; None until a worker has met it. *late* is by how many seconds its last job was
    sent too late; *is_late* if that is worth a look. *runs* are its last runs, the newest first.
    """

    name: str
    task: str
    queue: str
    rule: str
    words: str
    zone: str
    source: str
    state: str
    misfire: str
    overlap: str
    jitter: float
    count: int
    next: tuple[float, ...]
    last: float | None
    last_job: str
    watermark: float | None
    late: float | None
    is_late: bool
    runs: tuple[ScheduleRun, ...]


class Schedules(msgspec.Struct, frozen=True):
    """All schedules; *trouble* says why the engine cannot tell."""

    schedules: tuple[Schedule, ...]
    trouble: str = ""


class ScheduleAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a schedule."""

    name: str


class SchedulePage(msgspec.Struct, frozen=True):
    """One schedule."""

    schedule: Schedule


async def show(visit: Visit, _: Nothing) -> Schedules:
    """The schedules as they are now, with their last runs."""
    found, trouble = await ask(visit, "schedules", FRESH_SECONDS, visit.app.schedules.alist)
    runs = await recall(visit, "schedule runs", FRESH_SECONDS, lambda: visit.history.schedule_runs(limit=MAX_RUNS), ())
    of: dict[str, list[ScheduleRun]] = {}
    for run in runs:
        of.setdefault(run.schedule, []).append(run)
    return Schedules(tuple(_schedule(view, of.get(view.name, ())) for view in found or ()), trouble)


async def show_one(visit: Visit, asked: ScheduleAsked) -> SchedulePage:
    """One schedule, with more of its runs."""
    found, trouble = await ask(visit, "schedules", FRESH_SECONDS, visit.app.schedules.alist)
    view = next((each for each in found or () if each.name == asked.name), None)
    if view is None:
        raise Missing(trouble or f"There is no schedule {asked.name!r}.")
    runs = await recall(
        visit,
        ("schedule runs", asked.name),
        FRESH_SECONDS,
        lambda: visit.history.schedule_runs(asked.name, limit=SHOWN_OF_ONE),
        (),
    )
    return SchedulePage(_schedule(view, runs, len(runs)))


def _schedule(view: ScheduleView, runs: Sequence[ScheduleRun], most: int = SHOWN_RUNS) -> Schedule:
    return Schedule(
        name=view.name,
        task=view.task,
        queue=view.queue,
        rule=view.rule,
        words=words_of(view.rule),
        zone=view.timezone,
        source=view.source,
        state=_state(view),
        misfire=view.misfire,
        overlap=view.overlap,
        jitter=view.jitter,
        count=view.runs,
        next=tuple(upcoming(view)),
        last=view.last.timestamp() if view.last else None,
        last_job=view.last_job,
        watermark=view.watermark.timestamp() if view.watermark else None,
        late=view.lateness,
        is_late=(view.lateness or 0.0) > LATE_SECONDS,
        runs=tuple(runs[:most]),
    )


def _state(view: ScheduleView) -> str:
    if view.paused:
        return "paused"
    if not view.enabled:
        return "off"
    return "on" if view.next is not None or view.last is None else "over"


def upcoming(view: ScheduleView) -> list[float]:
    """The next ticks of *view*, five at most, as unix seconds."""
    if view.next is None:
        return []
    rule, zone, first = parse(view.rule), zone_of(view.timezone), milliseconds(view.next)
    ticks = [first]
    while len(ticks) < SHOWN_TICKS and (tick := rule.tick_after(ticks[-1], zone, first)) is not None:
        ticks.append(tick)
    return [tick / 1000 for tick in ticks]


def words_of(rule: str) -> str:
    """Cron text and intervals in words; nothing for other rules, which are words."""
    kind, _, text = rule.partition(" ")
    if kind == "every":
        seconds = text.partition(" ")[0]
        return f"Every {duration(float(seconds))}" if seconds.replace(".", "", 1).isdecimal() else ""
    if kind not in {"crontab", "cron"}:
        return ""
    from cronsim import CronSim, CronSimError

    try:
        return str(CronSim(text, datetime(2000, 1, 1)).explain())  # noqa: DTZ001 - words have no time zone
    except (CronSimError, ValueError, LookupError):
        return ""  # what cronsim does not read, such as a list of Celery's own, is shown as it is


PAGE: Final = Page(
    path="/schedules",
    title="Schedules",
    right="jobs.view",
    template="schedules.html",
    show=show,
    section="schedules",
    topics=("schedules",),
)
ONE: Final = Page(
    path="/schedule",
    within="schedules",
    title="Schedule",
    right="jobs.view",
    template="schedule.html",
    show=show_one,
    asks=ScheduleAsked,
    topics=("schedules",),
)
