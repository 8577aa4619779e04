"""The page of activity: who did what, what runs in the background, and what the history lacks."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from umbel.dashboard.page import Page
from umbel.dashboard.visit import Visit
from umbel.history.views import Audit, Standing

SHOWN: Final = 100


class ActivityAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*before* is the number of the last note of the page above."""

    before: Annotated[int, msgspec.Meta(ge=1, le=2**62)] = 2**62


class Activity(msgspec.Struct, frozen=True):
    """Notes, the newest first, the *cursor* to give as ``before`` for older ones, and how the history is."""

    audits: tuple[Audit, ...]
    cursor: int | None
    standing: Standing


async def show(visit: Visit, asked: ActivityAsked) -> Activity:
    """What was done, and how the history is."""
    audits = await visit.read(visit.history.audits, before=asked.before, limit=SHOWN)
    standing = await visit.read(visit.history.standing)
    return Activity(tuple(audits), audits[-1].id if len(audits) == SHOWN else None, standing)


PAGE: Final = Page(
    path="/activity",
    title="Activity",
    right="audit.view",
    template="activity.html",
    show=show,
    asks=ActivityAsked,
    section="activity",
    topics=("activity",),
)
