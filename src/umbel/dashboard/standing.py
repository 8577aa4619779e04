"""Standing: where the engine has a job at this moment, and, if it waits, for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.app.queues import QueueInfo
from umbel.app.seat import inspector, place_of
from umbel.app.survey import Survey, received_from, survey
from umbel.contracts.powers import Location
from umbel.dashboard.engine import ask
from umbel.dashboard.visit import Visit
from umbel.states import Place

FRESH_SECONDS: Final = 0.0
"""A job is looked at by few, and what was just done to it must be seen."""
QUEUES_SECONDS: Final = 1.0
_REASONS: Final[dict[str, str]] = {
    "parked": "No worker that serves its queue knows its task: start one that does.",
    "held": "The limits of its task hold it back: as many run as may, or its rate is used up.",
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the engine has a job: its *place* in *queue*; *why* it waits there, if it does.

    *revoked*: it is to end without being run again. *trouble* says why the engine cannot tell.
    """

    place: Place = "unknown"
    queue: str = ""
    why: str = ""
    revoked: bool = False
    trouble: str = ""


async def standing(visit: Visit, job_id: str, queue: str | None) -> Standing:
    """Where the job *job_id* is; *queue* is where to look first."""

    async def locate() -> Location:
        return await inspector(visit.app).alocate(job_id, queue)

    found, trouble = await ask(visit, ("locate", job_id), FRESH_SECONDS, locate)
    if found is None:
        return Standing(trouble=trouble)
    return Standing(place=found.place, queue=found.queue, why=await _why(visit, found), revoked=found.doom == "revoked")


async def _why(visit: Visit, found: Location) -> str:
    if found.place != "ready":
        return _REASONS.get(found.place, "")
    queues, _ = await ask(visit, "queues", QUEUES_SECONDS, visit.app.queues.alist)
    if _is_paused(found.queue, queues or ()):
        return f"Its queue, {found.queue}, is paused."

    async def look() -> Survey:
        return await survey(inspector(visit.app), place_of(visit.app))

    seen, _ = await ask(visit, "survey", QUEUES_SECONDS, look)
    if seen is None:
        return ""
    if found.queue not in received_from(seen.workers):
        return f"No worker receives from its queue, {found.queue}."
    ready = next((each.ready for each in seen.queues if each.queue == found.queue), 0)
    return f"It is one of {ready} jobs that are ready in {found.queue}." if ready else ""


def _is_paused(queue: str, queues: Sequence[QueueInfo]) -> bool:
    return any(each.queue == queue and each.paused for each in queues)
