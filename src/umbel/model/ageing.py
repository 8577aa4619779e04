"""When jobs that nobody takes become more urgent: what is remembered of a queue, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

MOST_RAISED: Final = 200
"""How many jobs of one level rise in one step at most."""


class Front(NamedTuple):
    """The job that stands at the front of a level, and since when it does, on the clock of its engine."""

    job: str
    since: float


def overdue(known: Mapping[int, Front], fronts: Mapping[int, str], latest: float) -> list[int]:
    """The levels of *fronts*, most urgent first, where the same job stands since *latest* or longer.

    In this order no job rises twice in one step.
    """
    return [level for level in sorted(fronts) if _stays(known, fronts, level, latest)]


def seen(known: Mapping[int, Front], fronts: Mapping[int, str], now: float) -> dict[int, Front]:
    """What to remember now; whoever is new at the front begins to stand there. So does all, if a clock was set back."""
    return {
        level: known[level] if _stays(known, fronts, level, now) else Front(job, now) for level, job in fronts.items()
    }


def _stays(known: Mapping[int, Front], fronts: Mapping[int, str], level: int, latest: float) -> bool:
    return level in known and known[level].job == fronts[level] and known[level].since <= latest
