"""Banners: what everybody should know before he believes a page."""

from __future__ import annotations

import time
from typing import Final

from umbel.dashboard.station import Station
from umbel.exceptions import HistoryError
from umbel.history.views import Standing

FRESH_SECONDS: Final = 5.0
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
    return (found,) if isinstance(found, str) else tuple(_of(found))


def _of(standing: Standing) -> list[str]:
    told = [f"The history is not written: {standing.trouble}"] if standing.trouble else []
    if standing.recorded is None:
        told.append("Nobody has recorded anything yet: run umbel recorder.")
    elif time.time() - standing.recorded > LATE_SECONDS:
        told.append("Nobody records what happens: run umbel recorder, or umbel dashboard without --no-recorder.")
    lost = sum(gap.last - gap.first + 1 for gap in standing.gaps if not gap.opening)
    if lost:
        told.append(f"{lost} batches of events did not come: figures of that time are too low.")
    return told
