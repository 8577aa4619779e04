"""The page of jobs: those that a filter matches, newest first, and how many there are by state, task and queue."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Annotated, Final

import msgspec

from umbel.dashboard.filters import Span, whole
from umbel.dashboard.page import Page
from umbel.dashboard.visit import Visit
from umbel.history import FilterError
from umbel.history.views import Facets, JobPage, JobRow

MAX_ROWS: Final = 200
MAX_BACK: Final = 50
NEW_COUNTED: Final = 100
"""How many jobs above those shown are counted; more are "100 or more"."""
COUNTED_SECONDS: Final = 10.0
"""How long counts are kept for others who ask at the same change of the history."""
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Asks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs: *q* is a filter, *range* how far back to look, *limit* how many jobs to show, at most 200.

    *before* is the ``older`` of the page above. *upto* is the ``top`` of an earlier answer: then jobs that came since
    are not shown but counted, as ``new``. *back* are the *before* of the pages above, 0 for the first.
    """

    q: str = ""
    range: Span = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = 50
    before: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    upto: Seq | None = None
    back: Annotated[tuple[Seq, ...], msgspec.Meta(max_length=MAX_BACK)] = ()


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that *filter*, the whole of what was asked, matches, newest first.

    *older* is the ``before`` of the next page, None if there is none. *compared_all* is False when the filter had to be
    compared job by job and only the newest 100,000 were: go on with *older*. *new* counts jobs that came after *upto*,
    up to 100. *top* is the ``upto`` that keeps this page as it is. *facets* count what matches, without regard to
    *before*; arguments are empty for whoever may not see them.
    """

    rows: tuple[JobRow, ...]
    filter: str
    facets: Facets
    older: int | None
    compared_all: bool
    new: int
    top: int


async def show(visit: Visit, asks: Asks) -> Jobs:
    """The jobs that are asked for."""
    found = whole(visit, asks.q, asks.range)
    try:
        page = await visit.read(visit.history.jobs, found, limit=asks.limit, before=asks.before, upto=asks.upto)
    except FilterError:
        await visit.read(visit.history.jobs, asks.q, limit=1)  # what the user wrote himself, so that the place is right
        raise
    return Jobs(
        rows=masked(visit, page.rows),
        filter=found,
        facets=_counted(page) if _holds_all(asks, page) else await _facets(visit, found, page.change),
        older=page.cursor,
        compared_all=page.compared_all,
        new=0 if asks.upto is None or page.top <= asks.upto else await _new(visit, found, asks.upto),
        top=page.top if asks.upto is None else asks.upto,
    )


def masked(visit: Visit, rows: tuple[JobRow, ...]) -> tuple[JobRow, ...]:
    """*rows* without what the user may not see."""
    if visit.sees_args:
        return rows
    return tuple(msgspec.structs.replace(row, args="", kwargs="") for row in rows)


def _holds_all(asks: Asks, page: JobPage) -> bool:
    """Whether *page* has all that was found: to count that, nothing need be compared once more."""
    return asks.before is None and asks.upto is None and len(page.rows) < asks.limit


def _counted(page: JobPage) -> Facets:
    states, tasks, queues = (
        dict(Counter(getattr(row, what) for row in page.rows).most_common()) for what in ("state", "task", "queue")
    )
    return Facets(len(page.rows), page.cursor is not None, states, tasks, queues)


async def _facets(visit: Visit, filter: str, change: int) -> Facets:
    ask = partial(visit.history.facets, filter)
    return await visit.shared(("facets", filter, change), COUNTED_SECONDS, lambda: visit.read(ask))


async def _new(visit: Visit, filter: str, upto: int) -> int:
    page = await visit.read(visit.history.jobs, filter, limit=NEW_COUNTED)
    return sum(row.seq > upto for row in page.rows)


PAGE: Final = Page(
    path="/jobs",
    title="Jobs",
    right="jobs.view",
    template="jobs.html",
    show=show,
    asks=Asks,
    section="jobs",
    topics=("jobs",),
)
