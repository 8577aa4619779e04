"""The page of queues."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.app.queues import QueueInfo
from umbel.dashboard.engine import ask
from umbel.dashboard.page import Nothing, Page
from umbel.dashboard.visit import Visit

FRESH_SECONDS: Final = 1.0


class Queues(msgspec.Struct, frozen=True):
    """All queues; *trouble* says why the engine cannot tell."""

    queues: list[QueueInfo]
    trouble: str = ""


async def show(visit: Visit, _: Nothing) -> Queues:
    """The queues as they are now."""
    found, trouble = await ask(visit, "queues", FRESH_SECONDS, visit.app.queues.alist)
    return Queues(found or [], trouble)


PAGE: Final = Page(
    path="/queues",
    title="Queues",
    right="jobs.view",
    template="queues.html",
    show=show,
    section="queues",
    topics=("queues",),
)
