"""Banners: what everybody should know before he believes a page."""

from __future__ import annotations

import time
from typing import Final

from umbel.dashboard.station import Station
from umbel.dashboard.wording import duration
from umbel.exceptions import HistoryError
from umbel.history.views import Standing

FRESH_SECONDS: Final = 5.0
BEHIND_SECONDS: Final = 10.0
LATE_SECONDS: Final = 60.0
"""A history that was not written for so long has no recorder."""


async def banners(station: Station) -> tuple[str, ...]:
    """Sentences about the history of *station*: that nobody records, that it is full, that it lacks something."""

    async def standing() -> Standing | str:
        try:
            return await station.read(station.history.standing)
        except HistoryError as error:
            return str(error)

    found = await station.shared("standing", FRESH_SECONDS, standing)
    own = station.recording.trouble if station.recording is not None else ""
    told = [f"Nothing is recorded here, jobs go on: {own}"] if own else []
    if isinstance(found, str):
        return (*told, found[:1].upper() + found[1:])
    return (*told, *_of(found, recording=station.recording is not None, own=own))


def _of(standing: Standing, *, recording: bool, own: str) -> list[str]:
    told = [f"The history is not written: {standing.trouble}"] if standing.trouble not in ("", own) else []
    if not recording:
        told.extend(_unrecorded(standing))
    if standing.lag is not None and standing.lag > BEHIND_SECONDS:
        told.append(f"The history is {duration(standing.lag)} behind: what happened since is not shown yet.")
    lost = sum(gap.last - gap.first + 1 for gap in standing.gaps if not gap.opening)
    if lost:
        told.append(f"{lost} batches of events did not come: figures of that time are too low.")
    return told


def _unrecorded(standing: Standing) -> list[str]:
    if standing.recorded is None:
        return ["Nobody has recorded anything yet: run umbel recorder."]
    if time.time() - standing.recorded > LATE_SECONDS:
        return ["Nobody records what happens: run umbel recorder, or umbel dashboard without --no-recorder."]
    return []
