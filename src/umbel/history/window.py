"""Window: a stretch of time that is shown, and of which roll-ups it is made."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.history.rollups import KEPT, SPANS

MAX_POINTS: Final = 400
STEPS: Final = (10, 30, 60, 120, 300, 600, 3_600, 21_600, 86_400, 604_800)
"""How long a point of a chart may be, in seconds."""


class Window(msgspec.Struct, frozen=True):
    """From *start* to *end*, seen from *now*; a chart of it has less than so many *points*."""

    start: float
    end: float
    now: float
    points: int = MAX_POINTS

    @property
    def spans(self) -> list[int]:
        """The spans whose rows are kept since *start*, the shortest first; the longest is always among them."""
        return [span for span in SPANS if self.start >= self.now - KEPT[span] or span == SPANS[-1]]

    @property
    def step(self) -> int:
        """How many seconds a point of a chart is long, so that there are not too many."""
        rough = next((each for each in STEPS if (self.end - self.start) / each < self.points), STEPS[-1])
        return max(rough, self.spans[0])
