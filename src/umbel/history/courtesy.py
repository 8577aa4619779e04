"""Courtesy: how long a recorder pauses so that jobs come first where processors are short.

Priorities would not do: between services, containers and logins the kernel shares processors by group, not by process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

SHORT: Final = 0.15
"""Below this share of idle processors others wait for one."""
EVENTS_A_SECOND: Final = 2_000
"""How many a recorder writes then."""
PATIENT_SECONDS: Final = 10.0
HURRIED_SECONDS: Final = 60.0
"""How far the history may lag until a recorder writes more, and all that it can: the log is bounded."""
MAX_PAUSE_SECONDS: Final = 3.0
_STAT: Final = Path("/proc/stat")
_IDLE: Final = slice(3, 5)
_ALL: Final = slice(0, 8)


class Ticks(NamedTuple):
    """What the processors of this machine have done since it started, in ticks."""

    idle: int
    all: int


def processors() -> Ticks | None:
    """As it is now; None where nobody tells."""
    try:
        with _STAT.open() as file:
            spent = [int(word) for word in file.readline().split()[1:]]
    except (OSError, ValueError):
        return None
    return Ticks(sum(spent[_IDLE]), sum(spent[_ALL]))


class Courtesy:
    """Pauses of one recorder."""

    def __init__(self, look: Callable[[], Ticks | None] = processors) -> None:
        """*look* answers what the processors have done."""
        self._look = look
        self._before = look()

    def pause(self, events: int, took: float, lag: float) -> float:
        """For how many seconds to do nothing after *events* were written in *took* seconds; *lag*: of the history."""
        now, before = self._look(), self._before
        self._before = now
        if now is None or before is None or lag >= HURRIED_SECONDS:
            return 0.0
        if now.all == before.all or (now.idle - before.idle) / (now.all - before.all) >= SHORT:
            return 0.0
        hurry = max(0.0, (lag - PATIENT_SECONDS) / (HURRIED_SECONDS - PATIENT_SECONDS))
        return min(MAX_PAUSE_SECONDS, max(0.0, (1.0 - hurry) * events / EVENTS_A_SECOND - took))
