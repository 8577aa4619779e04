"""What can be done to jobs that are named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from umbel.app.resending import Unsendable
from umbel.dashboard import doing
from umbel.dashboard.doing import Outcome
from umbel.dashboard.page import Action, Done, Missing, Refused
from umbel.dashboard.visit import Visit
from umbel.history.views import JobRow
from umbel.model.ids import new_id, valid_id

MAX_IDS: Final = 1_000
MAX_TARGET: Final = 20
REPEATED_SECONDS: Final = 30.0
DELETE: Final = "delete"
Ids: TypeAlias = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_IDS)]
Act: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]
Signal: TypeAlias = Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL"]


class Some(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The *ids* of jobs, up to 1,000. *action* names one deliberate act: what is asked twice with it is done once."""

    ids: Ids
    action: Act = msgspec.field(default_factory=new_id)


class Terminate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Some`, and the *signal* that ends those that run: SIGTERM lets them clean up."""

    ids: Ids
    action: Act = msgspec.field(default_factory=new_id)
    signal: Signal = "SIGTERM"


class Deleted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`Some`, and the word ``delete`` as somebody *typed* it, for what is deleted is gone."""

    ids: Ids
    typed: str = ""
    action: Act = msgspec.field(default_factory=new_id)


Named: TypeAlias = Some | Terminate | Deleted


async def retry(visit: Visit, takes: Some) -> Done:
    """Send jobs that have ended again, as new jobs: the old ones stay as they are."""

    async def act() -> Outcome:
        return await doing.retry(visit.app, visit.history, await _rows(visit, takes.ids), takes.action)

    found = await _once(visit, "retry", takes, act)
    if not found.done:
        raise Unsendable(f"Not sent again: {'; '.join(found.reasons)}.")
    text = f"Sent again as {found.ids[0]}" if len(takes.ids) == 1 else f"Sent {_jobs(found.done)} again"
    page = f"/jobs/{found.ids[0]}" if len(found.ids) == 1 else ""
    return Done(f"{text}{_left(found)}.", found.done, found.ids, page)


async def cancel(visit: Visit, takes: Some) -> Done:
    """Revoke jobs: what waits has ended, what runs is not retried."""
    return await _cancelled(visit, takes)


async def terminate(visit: Visit, takes: Terminate) -> Done:
    """Revoke jobs, and end those that run, wherever they run."""
    return await _cancelled(visit, takes, takes.signal)


def confirmed(takes: Deleted) -> None:
    """Raise `Refused` unless it was typed that something is to be deleted."""
    if takes.typed != DELETE:
        raise Refused(f"Type {DELETE} to confirm it.", "typed")


async def delete(visit: Visit, takes: Deleted) -> Done:
    """Have the history forget jobs. The jobs themselves are not touched."""
    confirmed(takes)
    found = await _once(visit, "delete", takes, lambda: doing.delete(visit.history, takes.ids))
    if not found.done:
        raise Missing("The history has none of these jobs.")
    return Done(f"Deleted the {'record' if found.done == 1 else 'records'} of {_jobs(found.done)}.", found.done)


async def _cancelled(visit: Visit, takes: Some | Terminate, signal: str = "") -> Done:
    wrong = next((each for each in takes.ids if not valid_id(each)), None)
    if wrong is not None:
        raise Refused(f"{wrong!r} is no id of a job.", "ids")
    jobs = [(each, "") for each in takes.ids]
    found = await _once(visit, f"cancel {signal}", takes, lambda: doing.cancel(visit.app, jobs, signal=signal))
    if not found.done:
        raise Missing(f"Nothing was cancelled: {'; '.join(found.reasons)}.")
    told = f": {'; '.join(found.reasons)}" if found.reasons else ""
    return Done(f"Cancelled {_jobs(found.done)}{told}.", found.done)


async def _once(visit: Visit, what: str, takes: Named, act: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """What *act* answers; who asks the same again within a moment, as by a double click, gets the same answer."""
    return await visit.station.acts.get((what, takes.action, takes.ids), REPEATED_SECONDS, act)


async def _rows(visit: Visit, ids: Sequence[str]) -> list[JobRow]:
    def read() -> list[JobRow]:
        found = [visit.history.job(each) for each in dict.fromkeys(ids)]
        return [each.job for each in found if each is not None]

    rows = await visit.read(read)
    if not rows:
        raise Missing("The history has none of these jobs, so there is nothing to send again.")
    return rows


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _left(found: Outcome) -> str:
    return f"; {found.left} not: {'; '.join(found.reasons)}" if found.left else ""


def _target(takes: Named) -> str:
    shown = " ".join(takes.ids[:MAX_TARGET])
    return shown if len(takes.ids) <= MAX_TARGET else f"{shown} and {len(takes.ids) - MAX_TARGET} more"


ACTIONS: Final = (
    Action(path="/jobs/retry", right="jobs.retry", do=retry, target=_target, takes=Some),
    Action(path="/jobs/cancel", right="jobs.cancel", do=cancel, target=_target, takes=Some),
    Action(path="/jobs/terminate", right="jobs.terminate", do=terminate, target=_target, takes=Terminate),
    Action(path="/jobs/delete", right="jobs.delete", do=delete, target=_target, takes=Deleted),
)
