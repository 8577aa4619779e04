"""The overview: how all is going, and what needs somebody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from umbel.app.schedules import ScheduleView
from umbel.app.survey import Survey, received_from
from umbel.dashboard import figures
from umbel.dashboard.charts import Chart, Deploy
from umbel.dashboard.engine import ask
from umbel.dashboard.figures import TaskFigures
from umbel.dashboard.page import Page
from umbel.dashboard.pages.queues import surveyed
from umbel.dashboard.visit import Visit
from umbel.dashboard.window import FRESH_SECONDS, Window, Windowed
from umbel.history import History
from umbel.history.depths import Depths
from umbel.history.views import ErrorGroup, Point, Release, Series, Totals

SHOWN_TASKS: Final = 10
SHOWN_ERRORS: Final = 6
MINUTE: Final = 60
LATE_SECONDS: Final = 10.0
"""A schedule that is this late is told of."""
SCHEDULES_FRESH_SECONDS: Final = 2.0


class Tiles(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers. *running*, *ready*, *workers*, and *used* of all *slots* are of now, None where the engine cannot tell.

    *current* is how many jobs a second ended in the last minute, None for a window that ends earlier. The others are of
    the window: jobs that *ended* and that *failed*, their share of 1, and how many ended a second.
    """

    running: int | None
    ready: int | None
    workers: int | None
    used: int | None
    slots: int | None
    ended: int
    failed: int
    failing: float | None
    rate: float
    current: float | None = None


class Late(msgspec.Struct, frozen=True):
    """A schedule: since when its tick is *due*, or None, and how many *seconds* that, or else its last job, is late."""

    name: str
    due: float | None
    seconds: float


class Unserved(msgspec.Struct, frozen=True):
    """A queue with jobs from which no worker receives; *oldest* is the age in seconds of the longest ready."""

    name: str
    ready: int
    oldest: float | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """How it is going in *window*. *trouble* says why the engine or the history cannot tell."""

    window: Window
    tiles: Tiles
    throughput: Chart
    wait: Chart
    run: Chart
    depth: Chart
    tasks: tuple[TaskFigures, ...]
    errors: tuple[ErrorGroup, ...]
    late: tuple[Late, ...]
    unserved: tuple[Unserved, ...]
    trouble: tuple[str, ...] = ()


class Told(msgspec.Struct, frozen=True):
    """What the history says of a window."""

    series: Series
    depths: Depths
    totals: list[Totals]
    errors: list[ErrorGroup]
    releases: list[Release]


async def show(visit: Visit, asked: Windowed) -> Overview:
    """The overview of a window."""
    window = asked.window()
    (told, blank), (now, silent), (schedules, unscheduled) = await asyncio.gather(
        ask(visit, ("overview", window.key), FRESH_SECONDS, lambda: visit.read(_told, visit.history, window)),
        surveyed(visit),
        ask(visit, "schedules", SCHEDULES_FRESH_SECONDS, visit.app.schedules.alist),
    )
    told = told or _nothing(window)
    marks = tuple(Deploy(each.first, f"{each.sort} {each.name}") for each in told.releases)
    return Overview(
        window=window,
        tiles=_tiles(now, told.series, window.seconds),
        throughput=figures.throughput(told.series, marks=marks),
        wait=figures.wait_and_age(told.series, told.depths, marks=marks),
        run=figures.latency(told.series, "run", marks=marks),
        depth=figures.depth(told.series, told.depths, marks=marks),
        tasks=tuple(each for each in map(figures.task_figures, told.totals) if each.ended)[:SHOWN_TASKS],
        errors=tuple(told.errors),
        late=tuple(late(schedules or (), time.time())),
        unserved=tuple(unserved(now)),
        trouble=tuple(dict.fromkeys(each for each in (blank, silent, unscheduled) if each)),
    )


def _told(history: History, window: Window) -> Told:
    start, end = window.start, window.end
    return Told(
        history.series(start, end, points=figures.POINTS),
        history.depths(start, end, points=figures.POINTS),
        history.busiest(start, end, 2 * SHOWN_TASKS),  # some may only have been sent
        history.errors(start, end, SHOWN_ERRORS, statuses=("open", "regressed")),
        history.releases(start, end),
    )


def _nothing(window: Window) -> Told:
    span = max(10, round(window.seconds / 60))
    start, end = window.start, window.end
    return Told(Series(span, start, end, ()), Depths(span, start, end, ()), [], [], [])


def _tiles(now: Survey | None, series: Series, seconds: float) -> Tiles:
    failed = sum(point.failed + point.dead for point in series.points)
    ended = sum(map(_ended, series.points))
    children = [] if now is None else [child for worker in now.workers for child in worker.children]
    return Tiles(
        running=None if now is None else sum(queue.running for queue in now.queues),
        ready=None if now is None else sum(queue.ready for queue in now.queues),
        workers=None if now is None else len(now.workers),
        used=None if now is None else sum(len(child.running) for child in children),
        slots=None if now is None else sum(child.threads + child.async_slots for child in children),
        ended=ended,
        failed=failed,
        failing=failed / ended if ended else None,
        rate=ended / seconds,
        current=current(series, time.time()),
    )


def current(series: Series, now: float) -> float | None:
    """How many jobs a second ended in the last minute before *now*, or in the last whole step if steps are longer."""
    span = max(MINUTE, series.span)
    until = now // series.span * series.span
    if series.end < until:
        return None
    return sum(_ended(point) for point in series.points if until - span <= point.at < until) / span


def _ended(point: Point) -> int:
    return point.succeeded + point.failed + point.dead


def late(schedules: Sequence[ScheduleView], now: float) -> Iterator[Late]:
    """Those of *schedules* that are overdue at the moment *now*, or whose last job was late."""
    for each in schedules:
        if each.paused or not each.enabled:
            continue
        due = each.next.timestamp() if each.next is not None else now
        if now - due > LATE_SECONDS:
            yield Late(each.name, due, now - due)
        elif (each.lateness or 0.0) > LATE_SECONDS:
            yield Late(each.name, None, each.lateness or 0.0)


def unserved(now: Survey | None) -> Iterator[Unserved]:
    """The queues that hold jobs and from which no worker receives."""
    if now is None:
        return
    served = received_from(now.workers)
    for each in now.queues:
        if each.queue not in served and each.ready + each.parked:
            yield Unserved(each.queue, each.ready + each.parked, each.oldest_seconds)


PAGE: Final = Page(
    path="/",
    title="Overview",
    right="jobs.view",
    template="overview.html",
    show=show,
    asks=Windowed,
    section="overview",
    topics=("overview",),
)
