"""What can be done to flows."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from umbel.dashboard.page import Action, Done, Missing, Refused
from umbel.dashboard.visit import Visit
from umbel.model.ids import new_id


class Flow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The id of a *flow*, or of a job of it."""

    flow: Annotated[str, msgspec.Meta(max_length=255)]


class Retry(Flow, frozen=True, forbid_unknown_fields=True):
    """A *flow*; with *dry_run* it is only told what would run again."""

    dry_run: bool = False


class Repeat(Flow, frozen=True, forbid_unknown_fields=True):
    """A *flow*; with *dry_run* it is only told what would run. *action* names one deliberate act, done once."""

    dry_run: bool = False
    action: Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)] = msgspec.field(default_factory=new_id)


def _target(flow: Flow) -> str:
    return f"flow:{flow.flow}"


async def cancel(visit: Visit, flow: Flow) -> Done:
    """Let no job of it start any more."""
    if await visit.app.flows.arevoke(flow.flow):
        return Done("Cancelled the rest: what runs ends by itself, nothing more of this flow is started.")
    found = await visit.app.flows.aget(flow.flow)
    if found is None:
        raise Missing(f"There is no flow {flow.flow}, or it was forgotten.")
    raise Refused(f"This flow does not run any more: it is {found.state}.")


async def retry(visit: Visit, retry: Retry) -> Done:
    """Start what did not succeed of it again, in a new flow that goes on where it failed."""
    found = await visit.app.flows.aretry(retry.flow, dry_run=retry.dry_run)
    count = len(found.jobs)
    jobs = f"{count} {'job' if count == 1 else 'jobs'}"
    if retry.dry_run:
        return Done(f"{jobs} would run again, and {found.kept} values be taken over.", count)
    return Done(f"{jobs} of the flow run again, in the flow {found.id}.", count, (found.id,), f"/flows/{found.id}")


async def repeat(visit: Visit, takes: Repeat) -> Done:
    """Start all of it anew from its first step, in a new flow."""
    app, history = visit.app, visit.history
    found = await app.flows.arepeat(takes.flow, history, dry_run=takes.dry_run, action=takes.action)
    count = len(found.jobs)
    jobs = f"{count} {'job' if count == 1 else 'jobs'}"
    if takes.dry_run:
        return Done(f"{jobs} would run again.", count)
    return Done(f"All of the flow runs again, in the flow {found.id}.", count, (found.id,), f"/flows/{found.id}")


ACTIONS: Final = (
    Action(path="/flows/cancel", right="flows.cancel", do=cancel, target=_target, takes=Flow),
    Action(path="/flows/retry", right="flows.retry", do=retry, target=_target, takes=Retry),
    Action(path="/flows/repeat", right="flows.retry", do=repeat, target=_target, takes=Repeat),
)
