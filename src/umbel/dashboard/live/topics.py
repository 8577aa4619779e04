"""Topics: what pages are about, and how it is noticed that it has changed."""

from __future__ import annotations

from typing import Final, NamedTuple


class Pace(NamedTuple):
    """How a topic is told of: at most each *least* seconds.

    *follows*: it has changed when the history has recorded something. *tick*: it is told of after so many seconds even
    if nothing was noticed, for what the engine alone knows, and for figures that move along with the time.
    """

    least: float
    follows: bool = True
    tick: float | None = None


TOPICS: Final[dict[str, Pace]] = {
    "jobs": Pace(0.25),
    "flows": Pace(1.0, tick=15.0),
    "dead": Pace(2.0, tick=10.0),
    "errors": Pace(2.0, tick=30.0),
    "tasks": Pace(3.0, tick=30.0),
    "overview": Pace(2.0, tick=10.0),
    "bulk": Pace(0.5, follows=False, tick=1.0),
    "activity": Pace(2.0, follows=False, tick=3.0),
    "queues": Pace(1.0, follows=False, tick=2.0),
    "workers": Pace(2.0, follows=False, tick=3.0),
    "schedules": Pace(2.0, tick=5.0),
}
"""Those of all pages; a test compares them with what pages say."""
