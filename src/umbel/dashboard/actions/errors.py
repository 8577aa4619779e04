"""What can be done about groups of errors: each is told apart by a number."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from umbel.dashboard.page import Action, Done, Missing
from umbel.dashboard.visit import Visit
from umbel.history.groups import Status


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of a *group*."""

    group: Annotated[int, msgspec.Meta(ge=1, le=2**31)]


def _target(group: Group) -> str:
    return f"group:{group.group}"


async def mute(visit: Visit, group: Group) -> Done:
    """Leave it out of what is unresolved, however often it comes."""
    return await _triage(visit, group.group, "muted", "Muted: it is counted on, and shown among the muted ones.")


async def resolve(visit: Visit, group: Group) -> Done:
    """Say that its cause is gone: if it comes again, it is shown as regressed."""
    return await _triage(visit, group.group, "resolved", "Resolved: if it comes again, it is shown as regressed.")


async def reopen(visit: Visit, group: Group) -> Done:
    """Take back that it was muted or resolved."""
    return await _triage(visit, group.group, "open", "Open again.")


async def _triage(visit: Visit, number: int, status: Status, text: str) -> Done:
    if not await visit.read(visit.history.triage, number, status, visit.user.name):
        raise Missing(f"There is no group of errors {number}.")
    return Done(text)


ACTIONS: Final = (
    Action(path="/errors/mute", right="errors.triage", do=mute, target=_target, takes=Group),
    Action(path="/errors/resolve", right="errors.triage", do=resolve, target=_target, takes=Group),
    Action(path="/errors/reopen", right="errors.triage", do=reopen, target=_target, takes=Group),
)
