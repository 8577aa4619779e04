"""What can be done to all jobs that match a filter."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec

from umbel.dashboard.access.rights import Right
from umbel.dashboard.actions.jobs import Signal
from umbel.dashboard.bulk import Options
from umbel.dashboard.filters import Span
from umbel.dashboard.page import Action, Done, Missing, Refused
from umbel.dashboard.pages.bulk import MOST, TYPED_ABOVE, What, demand, meant
from umbel.dashboard.visit import Visit
from umbel.history.views import Bulk, Order
from umbel.model.ids import new_id

SLACK: Final = 1.1
SLACK_JOBS: Final = 100
"""So many more jobs may match than were shown: they change while somebody reads."""
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class All(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All jobs that *q* matches, not further back than *range*: those that were shown by ``GET /api/v1/bulk/new``.

    *count*, *cutoff* and *at* are what that told; *typed* is the count once more if it is above 1,000. *id* names the
    action: asked for twice, it is carried out once.
    """

    q: str
    range: Span = ""
    count: Annotated[int, msgspec.Meta(ge=0)]
    cutoff: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    at: float
    typed: int | None = None
    id: Id = msgspec.field(default_factory=new_id)


class AllTerminated(All, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`All`, and the *signal* that ends those that run."""

    signal: Signal = "SIGTERM"


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *id* of an action that is carried out."""

    id: Id


async def begin(visit: Visit, takes: All, what: What) -> Done:
    """Begin to do *what*; it is carried out in the background."""
    demand(visit, what)
    filter = meant(visit, takes.q, takes.range)
    count = await visit.read(visit.history.count, filter, upto=takes.cutoff, at=takes.at, most=MOST)
    if not count.n:
        raise Refused("No job matches this filter.", "q")
    if count.n > takes.count * SLACK + SLACK_JOBS:
        raise Refused(f"By now {count.n} jobs match, not {takes.count}: look at them again.", "count")
    if (count.n > TYPED_ABOVE or count.capped) and takes.typed != takes.count:
        raise Refused(f"Type how many jobs that are, {takes.count}, to confirm it.", "typed")
    signal = takes.signal if isinstance(takes, AllTerminated) else ""
    order = Order(
        id=takes.id,
        what=f"jobs.{what}",
        filter=filter,
        cutoff=takes.cutoff,
        at=takes.at,
        who=visit.user.name,
        origin=visit.origin,
        total=count.n,
        capped=count.capped,
        options=msgspec.json.encode(Options(signal=signal)).decode(),
    )
    return await ordered(visit, order)


async def ordered(visit: Visit, order: Order) -> Done:
    """Have *order* carried out."""
    begun: Bulk = await visit.read(visit.history.bulk_begin, order)
    visit.station.bulks.start()
    return Done(
        f"Begun, for {begun.total}{' or more' if begun.capped else ''} jobs.",
        begun.total,
        page=f"/bulk/{quote(begun.id, safe='')}",
    )


async def stop(visit: Visit, takes: Stop) -> Done:
    """Have nobody go on with an action. What was done stays done."""
    found: Bulk | None = await visit.read(visit.history.bulk, takes.id)
    if found is None:
        raise Missing(f"There is no such action on many jobs: {takes.id}.")
    if not await visit.read(visit.history.bulk_stop, takes.id):
        raise Refused(f"It runs no more: it is {found.state}.", "id")
    return Done(f"Stopped after {found.done} jobs.", found.done)


def _target(takes: All) -> str:
    return f"{takes.q} {f'range:{takes.range}' if takes.range else ''}".strip()


def _id(takes: Stop) -> str:
    return takes.id


def _action(what: What, right: Right, takes: type[Any] = All) -> Action:
    return Action(path=f"/bulk/{what}", right=right, do=partial(begin, what=what), target=_target, takes=takes)


ACTIONS: Final = (
    _action("retry", "jobs.retry"),
    _action("cancel", "jobs.cancel"),
    _action("terminate", "jobs.terminate", AllTerminated),
    _action("delete", "jobs.delete"),
    # Whoever may stop jobs may stop what others have begun, whatever it is.
    Action(path="/bulk/stop", right="jobs.cancel", do=stop, target=_id, takes=Stop),
)
