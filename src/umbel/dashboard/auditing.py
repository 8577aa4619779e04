"""Auditing: what is asked for that changes something is noted: before it is done, when it is, and when it is not."""

from __future__ import annotations

import time
from typing import Final

from umbel.dashboard.access.denied import Denied
from umbel.dashboard.page import Action
from umbel.dashboard.station import Station
from umbel.dashboard.visit import Visit

STRANGERS_A_MINUTE: Final = 60
"""How many refusals of people whom nobody knows are noted a minute; more would push out what the log is for."""
_MINUTE: Final = 60.0


class Auditor:
    """Writes the audit log of *station*."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._minute = 0.0
        self._strangers = 0

    async def note(self, visit: Visit, action: Action, target: str, outcome: str, count: int = 0) -> None:
        """Note what became of *action* on *target*; "asked" before anything is done."""
        who, origin = visit.user.name, visit.origin
        await self._station.read(self._station.audit, who, origin, named(action), target, count, outcome)

    async def refused(self, denied: Denied, origin: str, what: str, target: str = "") -> None:
        """Note that *what* was refused to somebody."""
        if not denied.who and not self._has_room():
            return
        outcome = f"refused: {denied}"
        await self._station.read(self._station.audit, denied.who, origin, what, target, 0, outcome)

    async def entered(self, who: str, origin: str, what: str) -> None:
        """Note that somebody has logged in or out."""
        await self._station.read(self._station.audit, who, origin, what, "", 0, "done")

    def _has_room(self) -> bool:
        now = time.monotonic()
        if now - self._minute >= _MINUTE:
            self._minute, self._strangers = now, 0
        self._strangers += 1
        return self._strangers <= STRANGERS_A_MINUTE


def named(action: Action) -> str:
    """What the log calls *action*, such as ``queues.pause``."""
    return action.path.strip("/").replace("/", ".")
