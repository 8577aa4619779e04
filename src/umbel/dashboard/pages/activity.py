"""The page of activity: who did what, what runs in the background, and what the history lacks."""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec

from umbel.dashboard.page import Page
from umbel.dashboard.visit import Visit
from umbel.history.views import Audit, Bulk, Release, Standing

SHOWN: Final = 100
SHOWN_BULKS: Final = 20
SHOWN_RELEASES: Final = 20
RELEASES_SECONDS: Final = 30 * 86_400.0


class ActivityAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*before* is the number of the last note of the page above."""

    before: Annotated[int, msgspec.Meta(ge=1, le=2**62)] = 2**62


class Activity(msgspec.Struct, frozen=True):
    """Notes, the newest first, and the *cursor* to give as ``before`` for older ones; how the history is.

    *bulks* are the last actions on all jobs of a filter, *releases* the versions that workers began to run in the last
    thirty days.
    """

    audits: tuple[Audit, ...]
    cursor: int | None
    standing: Standing
    bulks: tuple[Bulk, ...]
    releases: tuple[Release, ...]


async def show(visit: Visit, asked: ActivityAsked) -> Activity:
    """What was done, and how the history is."""
    audits = await visit.read(visit.history.audits, before=asked.before, limit=SHOWN)
    standing = await visit.read(visit.history.standing)
    bulks = await visit.read(visit.history.bulks, limit=SHOWN_BULKS)
    now = time.time()
    releases = await visit.read(visit.history.releases, now - RELEASES_SECONDS, now)
    cursor = audits[-1].id if len(audits) == SHOWN else None
    return Activity(tuple(audits), cursor, standing, tuple(bulks), tuple(releases[:SHOWN_RELEASES]))


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
