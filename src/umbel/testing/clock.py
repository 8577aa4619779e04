"""A clock that stands still until a test moves it."""

from __future__ import annotations

import time


class Clock:
    """Call it for the unix time in seconds; it starts at a whole second and moves only by `advance`."""

    def __init__(self, start: float | None = None) -> None:
        self._now = float(int(time.time())) if start is None else start

    def __call__(self) -> float:
        """The time it shows."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move it by *seconds*; a negative number is a step back."""
        self._now += seconds
