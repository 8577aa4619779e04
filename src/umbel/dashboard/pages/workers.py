"""The page of workers."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from umbel.app.survey import ChildRow, WorkerRow
from umbel.dashboard.page import Nothing, Page
from umbel.dashboard.pages.queues import surveyed
from umbel.dashboard.recall import recall
from umbel.dashboard.visit import Visit
from umbel.history.views import WorkerView

FRESH_SECONDS: Final = 2.0
BLOCKED_SECONDS: Final = 0.25
"""How late an event loop comes that something blocks: jobs of `async def` tasks, and the ends of all, wait for it."""
SEEN_SECONDS: Final = 30.0
"""A worker that was not heard of for so long, and has no lease, is lost."""


class Running(msgspec.Struct, frozen=True):
    """A job that a worker runs, for *seconds* already."""

    id: str
    task: str
    seconds: float


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker.

    *state* is "online", "quiet" (it receives nothing, as it was told), "stopped" (it said so) or "lost" (it did not).
    *slots* is how many jobs it can run at once, *rss* its memory in bytes and *cpu* its processor time in seconds, both
    of all its processes, *lag* by how many seconds the slowest of its event loops came late of late: *blocked* if that
    is much. *processed* is how many jobs have ended there. *stale*: other workers run a newer version. *up*
    is since when it runs.
    """

    name: str
    host: str
    pid: int
    state: str
    version: str
    stale: bool
    queues: tuple[str, ...]
    children: int
    slots: int | None
    running: tuple[Running, ...]
    leased: int
    rss: int | None
    cpu: float | None
    lag: float | None
    blocked: bool
    processed: int | None
    up: float | None
    seen: float | None


class Workers(msgspec.Struct, frozen=True):
    """The workers that live, and those that were heard of within a day; *trouble* says why the engine cannot tell."""

    workers: tuple[Worker, ...]
    trouble: str = ""


async def show(visit: Visit, _: Nothing) -> Workers:
    """The workers as they are now, with what the history knows of them."""
    found, trouble = await surveyed(visit)
    views = await recall(visit, "workers", FRESH_SECONDS, visit.history.workers, ())
    told = {(view.name, view.host, view.pid): view for view in views}
    living = {(each.worker, each.host, each.pid): each for each in (found.workers if found else ())}
    newest = max((_order(view.version) for view in views if view.stopped is None), default=())
    now = time.time()
    workers = [as_online(each, told.get(place), newest) for place, each in living.items()]
    workers += [as_gone(view, newest, now) for place, view in told.items() if place not in living]
    # Those that live keep their places, whatever they are told to do; of the others those that began last come first.
    order = {"online": 0, "quiet": 0, "lost": 1, "stopped": 2}
    workers.sort(key=lambda each: (order[each.state], -(each.up or 0.0) if order[each.state] else 0.0, each.name))
    return Workers(tuple(workers), trouble)


def as_online(row: WorkerRow, view: WorkerView | None, newest: tuple[int, ...]) -> Worker:
    """A worker that lives, as the engine and its last bulletin tell; *newest* is the newest version that runs.

    What a bulletin says of the moment is told while it is fresh: a worker that tells no events has no such figures.
    """
    lag = max(child.lag_seconds for child in row.children)
    told = view if view is not None and time.time() - view.seen < SEEN_SECONDS else None
    return Worker(
        name=row.worker,
        host=row.host,
        pid=row.pid,
        state="quiet" if all(child.quiet for child in row.children) else "online",
        version=view.version if view else "",
        stale=view is not None and _order(view.version) < newest,
        queues=tuple(sorted({queue for child in row.children for queue in child.queues})),
        children=len(row.children),
        slots=sum(_slots(child) for child in row.children),
        running=tuple(Running(job.id, job.task, job.seconds) for child in row.children for job in child.running),
        leased=sum(child.leased for child in row.children),
        rss=told.rss if told else None,
        cpu=told.cpu if told else None,
        lag=lag,
        blocked=lag >= BLOCKED_SECONDS,
        processed=told.processed if told else None,
        up=time.time() - max(child.up_seconds for child in row.children),
        seen=None,
    )


def as_gone(view: WorkerView, newest: tuple[int, ...], now: float) -> Worker:
    """A worker that has no lease (any more)."""
    heard = now - view.seen < SEEN_SECONDS
    return Worker(
        name=view.name,
        host=view.host,
        pid=view.pid,
        state="stopped" if view.stopped is not None else "online" if heard else "lost",
        version=view.version,
        stale=view.stopped is None and _order(view.version) < newest,
        queues=tuple(view.queues or ()),
        children=0,
        slots=view.slots,
        running=(),
        leased=0,
        rss=None,
        cpu=view.cpu,
        lag=None,
        blocked=False,
        processed=view.processed,
        up=view.started,
        seen=view.seen,
    )


def _slots(child: ChildRow) -> int:
    return child.threads + child.async_slots


def _order(version: str) -> tuple[int, ...]:
    """Versions as they follow each other; what is no number counts as none."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


PAGE: Final = Page(
    path="/workers",
    title="Workers",
    right="jobs.view",
    template="workers.html",
    show=show,
    section="workers",
    topics=("workers",),
)
