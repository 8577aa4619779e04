"""What can be done to dead letters: they run again under their ids, or are deleted for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Final, Literal

import msgspec

from umbel.dashboard.actions.bulk import SLACK, SLACK_JOBS, Id, ordered
from umbel.dashboard.actions.jobs import Act, Deleted, Ids, confirmed
from umbel.dashboard.page import Action, Done, Missing, Refused
from umbel.dashboard.pages.dead import Meant, counted, meant, must_type
from umbel.dashboard.visit import Visit
from umbel.history.views import Order
from umbel.model.ids import new_id

REPEATED_SECONDS: Final = 30.0
MAX_TARGET: Final = 20
EVERY: Final = "state:dead"
"""What a filter means that says nothing."""
ANY: Final = 1
"""A cutoff that means nothing: which dead letters are meant is said by when they were buried."""


class Letters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *ids* of dead letters, up to 1,000. *action* names one deliberate act: asked twice, it is done once."""

    ids: Ids
    action: Act = msgspec.field(default_factory=new_id)


class All(Meant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All dead letters that are meant, as ``GET /api/v1/dead/all`` has shown them: its *count* and *at*.

    *typed* is the count once more for what is deleted, and above 1,000. *id* names the action: it is done once.
    """

    count: Annotated[int, msgspec.Meta(ge=0)]
    at: float
    typed: int | None = None
    id: Id = msgspec.field(default_factory=new_id)


async def retry(visit: Visit, takes: Letters) -> Done:
    """Have dead letters run again under their ids, counted anew."""
    return await _done(visit, takes, "retry", "will run again")


async def delete(visit: Visit, takes: Deleted) -> Done:
    """Delete dead letters for ever."""
    confirmed(takes)
    return await _done(visit, takes, "delete", "deleted")


async def _done(visit: Visit, takes: Letters | Deleted, what: str, told: str) -> Done:
    dead = visit.app.dead

    async def act() -> list[str]:
        ids = tuple(dict.fromkeys(takes.ids))
        letters = await dead.alist(ids=ids, limit=len(ids))
        return await (dead.aretry(letters) if what == "retry" else dead.adelete(letters))

    done = await visit.station.acts.get((f"dead.{what}", takes), REPEATED_SECONDS, act)
    if not done:
        raise Missing("None of these is a dead letter any more.")
    left = len(set(takes.ids)) - len(done)
    text = f"{_letters(len(done))} {told}" + (f"; {left} were no dead letters any more" if left else "")
    page = f"/jobs/{done[0]}" if len(done) == 1 and what == "retry" else ""
    return Done(f"{text}.", len(done), tuple(done) if what == "retry" else (), page)


async def begin(visit: Visit, takes: All, what: Literal["retry", "delete"]) -> Done:
    """Begin to do *what* to all of them; it is carried out in the background."""
    filter = meant(visit, takes)
    n, capped = await counted(visit, filter, takes.at)
    if not n:
        raise Refused("There is no such dead letter.", "q")
    if n > takes.count * SLACK + SLACK_JOBS:
        raise Refused(f"By now there are {n}, not {takes.count}: look at them again.", "count")
    if must_type(what, n, capped=capped) and takes.typed != takes.count:
        raise Refused(f"Type how many dead letters that are, {takes.count}, to confirm it.", "typed")
    order = Order(
        id=takes.id,
        what=f"dead.{what}",
        filter=filter or EVERY,
        cutoff=ANY,
        at=takes.at,
        who=visit.user.name,
        origin=visit.origin,
        total=n,
        capped=capped,
    )
    return await ordered(visit, order)


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def _target(takes: Letters | Deleted) -> str:
    shown = " ".join(takes.ids[:MAX_TARGET])
    return shown if len(takes.ids) <= MAX_TARGET else f"{shown} and {len(takes.ids) - MAX_TARGET} more"


def _words(takes: All) -> str:
    return f"{takes.q} {f'range:{takes.range}' if takes.range else ''}".strip() or EVERY


Doing = Callable[[Visit, All], Awaitable[Done]]
_retry_all: Final[Doing] = partial(begin, what="retry")
_delete_all: Final[Doing] = partial(begin, what="delete")
ACTIONS: Final = (
    Action(path="/dead/retry", right="dead.retry", do=retry, target=_target, takes=Letters),
    Action(path="/dead/delete", right="dead.delete", do=delete, target=_target, takes=Deleted),
    Action(path="/dead/all/retry", right="dead.retry", do=_retry_all, target=_words, takes=All),
    Action(path="/dead/all/delete", right="dead.delete", do=_delete_all, target=_words, takes=All),
)
