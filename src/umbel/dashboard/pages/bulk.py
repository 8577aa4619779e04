"""The pages of actions on all jobs that match: what would be done, and how far one is."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, cast

import msgspec

from umbel.dashboard.access.denied import Denied
from umbel.dashboard.access.rights import Right
from umbel.dashboard.filters import Span, whole
from umbel.dashboard.page import Missing, Page, Refused
from umbel.dashboard.pages.jobs import masked
from umbel.dashboard.visit import Visit
from umbel.history import FilterError
from umbel.history.views import Bulk, JobRow

TYPED_ABOVE: Final = 1_000
"""An action on more jobs than this is confirmed by typing how many they are."""
MOST: Final = 1_000_000
SHOWN: Final = 10
What: TypeAlias = Literal["retry", "cancel", "terminate", "delete"]


class Asks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*what* would be done with all jobs that the filter *q* matches, not further back than *range*."""

    what: What
    q: str
    range: Span = ""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done: to *count* jobs, or more if *capped*, those that *filter* matches up to *cutoff* at *at*.

    Hand these back to the action; above 1,000 jobs its *typed* is the count. *rows* are the newest of them.
    """

    what: What
    filter: str
    count: int
    capped: bool
    cutoff: int
    at: float
    rows: tuple[JobRow, ...]
    typed: bool


class One(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *id* of an action."""

    id: str


class Progress(msgspec.Struct, frozen=True):
    """How far an action on many jobs is; its filter is empty if it speaks of what is hidden from whoever asks."""

    bulk: Bulk


async def preview(visit: Visit, asks: Asks) -> Preview:
    """What would be done. Raises `Denied`, `Refused` for an empty filter, and `FilterError`."""
    demand(visit, asks.what)
    filter = meant(visit, asks.q, asks.range)
    count = await visit.read(visit.history.count, filter, most=MOST)
    page = await visit.read(visit.history.jobs, filter, limit=SHOWN, upto=count.top, at=count.at)
    return Preview(
        what=asks.what,
        filter=filter,
        count=count.n,
        capped=count.capped,
        cutoff=count.top,
        at=count.at,
        rows=masked(visit, page.rows),
        typed=count.n > TYPED_ABOVE or count.capped,
    )


async def progress(visit: Visit, asks: One) -> Progress:
    """How far one is. Raises `Missing`."""
    found = await visit.read(visit.history.bulk, asks.id)
    if found is None:
        raise Missing(f"There is no such action on many jobs: {asks.id}.")
    return Progress(veiled(visit, found))


def veiled(visit: Visit, bulk: Bulk) -> Bulk:
    """*bulk* without its filter, if that speaks of what the user may not see."""
    try:
        whole(visit, bulk.filter)
    except FilterError:
        return msgspec.structs.replace(bulk, filter="", options="")
    return bulk


def demand(visit: Visit, what: str) -> None:
    """Raise `Denied` if the user may not do *what* to jobs."""
    right = f"jobs.{what}"
    if not visit.may(cast("Right", right)):
        raise Denied(403, f"{visit.user.name} lacks the right {right}.", visit.user.name)


def meant(visit: Visit, q: str, range: str) -> str:
    """The filter of an action. Raises `Refused` for one that says nothing, and `FilterError`."""
    if not q.strip():
        raise Refused("An empty filter means every job there is: say which ones are meant.", "q")
    return whole(visit, q, range)


NEW: Final = Page(
    path="/bulk/new",
    within="jobs",
    title="All that match",
    right="jobs.view",
    template="bulk_new.html",
    show=preview,
    asks=Asks,
)
PAGE: Final = Page(
    path="/bulk/{id}",
    within="activity",
    title="Action on many jobs",
    right="jobs.view",
    template="bulk.html",
    show=progress,
    asks=One,
    topics=("bulk", "jobs"),
)
