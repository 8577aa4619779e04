"""Courtesy: how long a recorder pauses so that jobs come first where processors are short.

It may lag then, for the log of events keeps what it has not read; the fuller that gets, the more it takes.
Priorities would not do: between services, containers and logins the kernel shares processors by group, not by process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

SHORT: Final = 0.15
"""Below this share of idle processors others wait for one."""
UNDISTURBED: Final = 0.85
"""Who runs for this share of the time in which it wants to keeps nobody waiting, or hardly."""
SHARE: Final = 0.03
"""Of one processor: what a recorder takes where they are short and there is time."""
ROOMY: Final = 0.4
CROWDED: Final = 0.7
"""How far the log may be filled with what is to be recorded until that share grows, and until it is everything."""
UNKNOWN: Final = 0.55
"""How far a log counts as filled that cannot tell."""
PATIENT_SECONDS: Final = 20.0
HURRIED_SECONDS: Final = 60.0
"""The same of how far the history lags."""
MAX_PAUSE_SECONDS: Final = 2.0
"""The log is looked at again after that."""
LEAST_TICKS: Final = 10
"""Shorter times than this tell nothing."""
_STAT: Final = Path("/proc/stat")
_IDLE: Final = slice(3, 5)
_ALL: Final = slice(0, 8)


class Ticks(NamedTuple):
    """What the processors of this machine have done since it started, in ticks."""

    idle: int
    all: int


class Backlog(NamedTuple):
    """What is still to be recorded: how old it is, in seconds, and how much of the log it fills; None: unknown."""

    lag: float
    fill: float | None

    @property
    def hurry(self) -> float:
        """From 0, there is time, to 1, there is none."""
        late = (self.lag - PATIENT_SECONDS) / (HURRIED_SECONDS - PATIENT_SECONDS)
        full = ((UNKNOWN if self.fill is None else self.fill) - ROOMY) / (CROWDED - ROOMY)
        return min(1.0, max(0.0, late, full))


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
        self._hurried = False
        self._short = False

    def short(self) -> bool:
        """Whether processors are short just now."""
        now, before = self._look(), self._before
        if now is None or before is None:
            return False
        if (passed := now.all - before.all) >= LEAST_TICKS:
            self._before = now
            self._short = now.idle - before.idle < SHORT * passed
        return self._short

    def little(self) -> bool:
        """Whether to write little at once: processors are short, and there is time."""
        return self.short() and not self._hurried

    def pause(self, took: float, ran: float, backlog: Backlog) -> float:
        """For how many seconds to do nothing after a write, where processors are short.

        It took *took* seconds, in *ran* of which a processor was ours: who has one as soon as it wants takes none away.
        """
        hurry = backlog.hurry
        self._hurried = hurry >= 1.0
        if self._hurried or ran >= UNDISTURBED * took:
            return 0.0
        share = SHARE + (1.0 - SHARE) * hurry
        return min(MAX_PAUSE_SECONDS, took * (1.0 - share) / share)
