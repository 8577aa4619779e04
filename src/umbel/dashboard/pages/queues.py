"""The pages of queues: all of them, and one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.app.seat import inspector, place_of
from umbel.app.survey import QueueRow as QueueNow
from umbel.app.survey import Survey, WorkerRow, received_from, survey
from umbel.dashboard import figures
from umbel.dashboard.charts import Chart
from umbel.dashboard.engine import ask
from umbel.dashboard.page import Missing, Nothing, Page
from umbel.dashboard.recall import recall
from umbel.dashboard.visit import Visit
from umbel.history.views import QueueSample, QueueView, Series, Totals

FRESH_SECONDS: Final = 1.0
RATE_FRESH_SECONDS: Final = 5.0
RATE_SECONDS: Final = 300.0
"""Over how long rates of a queue are taken."""
SPANS: Final = {"1h": 3_600.0, "6h": 21_600.0, "24h": 86_400.0, "7d": 604_800.0}


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it is now. *oldest* is the age in seconds of the job that is ready for longest.

    *sent* and *ended* are jobs a second, over the last five minutes; *drained* is in how many seconds nothing will be
    ready if that goes on, None if never. *workers* are those that receive from it, *ready_hour* how many were ready in
    each minute of the last hour. *paused* is None where the broker cannot pause.
    """

    name: str
    ready: int
    delayed: int
    held: int
    running: int
    parked: int
    dead: int
    oldest: float | None
    paused: bool | None
    workers: tuple[str, ...]
    sent: float | None
    ended: float | None
    drained: float | None
    ready_hour: tuple[int, ...]


class Queues(msgspec.Struct, frozen=True):
    """All queues; *trouble* says why the engine cannot tell, and then they are as the history saw them last."""

    queues: tuple[QueueRow, ...]
    trouble: str = ""


class QueueAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *name* of a queue, and how far back: 1h, 6h, 24h or 7d."""

    name: str
    range: str = "6h"

    def __post_init__(self) -> None:
        """Refuse another span. Raises `ValueError`."""
        if self.range not in SPANS:
            raise ValueError(f"range is one of {', '.join(SPANS)}")


class QueuePage(msgspec.Struct, frozen=True):
    """One queue: as it is now, its samples, and how many jobs came and went in that time."""

    queue: QueueRow
    samples: tuple[QueueSample, ...]
    rates: Chart
    trouble: str = ""


async def show(visit: Visit, _: Nothing) -> Queues:
    """The queues as they are now."""
    found, trouble = await surveyed(visit)
    paused = await _paused(visit)
    views = {view.name: view for view in await _views(visit)}
    rates = {each.name: each for each in await _rates(visit)}
    if found is None:
        return Queues(tuple(_seen(view, rates.get(view.name)) for view in views.values()), trouble)
    return Queues(
        tuple(
            _row(each, found.workers, views.get(each.queue), rates.get(each.queue), paused.get(each.queue))
            for each in found.queues
        )
    )


async def show_one(visit: Visit, asked: QueueAsked) -> QueuePage:
    """One queue."""
    every = await show(visit, Nothing())
    found = next((row for row in every.queues if row.name == asked.name), None)
    if found is None:
        raise Missing(f"There is no queue {asked.name!r}.")

    def read() -> tuple[list[QueueSample], Series]:
        now = time.time()
        start = now - SPANS[asked.range]
        series = visit.history.series(start, now, queue=asked.name, points=figures.POINTS)
        return visit.history.queue(asked.name, start, now), series

    none: list[QueueSample] = []
    blank = (none, Series(1, 0.0, 0.0, ()))
    samples, series = await recall(visit, ("queue", asked.name, asked.range), RATE_FRESH_SECONDS, read, blank)
    return QueuePage(found, tuple(samples), figures.in_and_out(series), every.trouble)


async def surveyed(visit: Visit) -> tuple[Survey | None, str]:
    """Queues and workers as the engine tells them; or None, and what is in the way."""

    async def make() -> Survey:
        return await survey(inspector(visit.app), place_of(visit.app))

    return await ask(visit, "survey", FRESH_SECONDS, make)


async def _paused(visit: Visit) -> dict[str, bool]:
    """Which queues are paused; nothing where the broker cannot pause."""
    found, _ = await ask(visit, "queues", FRESH_SECONDS, visit.app.queues.alist)
    return {each.queue: each.paused for each in found or ()}


async def _views(visit: Visit) -> Sequence[QueueView]:
    return await recall(visit, "queues", FRESH_SECONDS, visit.history.queues, ())


async def _rates(visit: Visit) -> Sequence[Totals]:
    def read() -> list[Totals]:
        now = time.time()
        return visit.history.totals(now - RATE_SECONDS, now, "queue")

    return await recall(visit, "rates of queues", RATE_FRESH_SECONDS, read, ())


def _row(
    now: QueueNow, workers: Sequence[WorkerRow], view: QueueView | None, rate: Totals | None, paused: bool | None
) -> QueueRow:
    serving = {each.worker for each in workers if now.queue in received_from((each,))}
    row = _counted(now.queue, now, now.oldest_seconds, paused, view, rate)
    return msgspec.structs.replace(row, workers=tuple(sorted(serving)))


def _seen(view: QueueView, rate: Totals | None) -> QueueRow:
    """A queue as the history saw it last."""
    return _counted(view.name, view.last, view.last.oldest, view.last.paused, view, rate)


def _counted(
    name: str,
    counts: QueueNow | QueueSample,
    oldest: float | None,
    paused: bool | None,
    view: QueueView | None,
    rate: Totals | None,
) -> QueueRow:
    sent, ended = _per_second(rate)
    return QueueRow(
        name=name,
        ready=counts.ready,
        delayed=counts.delayed,
        held=counts.held,
        running=counts.running,
        parked=counts.parked,
        dead=counts.dead,
        oldest=oldest,
        paused=paused,
        workers=(),
        sent=sent,
        ended=ended,
        drained=_drained(counts.ready, sent, ended),
        ready_hour=_hour(view),
    )


def _per_second(rate: Totals | None) -> tuple[float | None, float | None]:
    if rate is None:
        return None, None
    ended = rate.succeeded + rate.failed + rate.revoked + rate.dead
    return rate.sent / RATE_SECONDS, ended / RATE_SECONDS


def _drained(ready: int, sent: float | None, ended: float | None) -> float | None:
    if sent is None or ended is None or ended <= sent:
        return None
    return ready / (ended - sent)


def _hour(view: QueueView | None) -> tuple[int, ...]:
    return () if view is None else tuple(ready for _, ready, _ in view.hour)


PAGE: Final = Page(
    path="/queues",
    title="Queues",
    right="jobs.view",
    template="queues.html",
    show=show,
    section="queues",
    topics=("queues",),
)
ONE: Final = Page(
    path="/queue",
    within="queues",
    title="Queue",
    right="jobs.view",
    template="queue.html",
    show=show_one,
    asks=QueueAsked,
    topics=("queues",),
)
