"""Floors: from where on a receive looks, so that it does not pass by the remains of all jobs that have ended. Pure.

Until the server has cleaned up, which it does once a minute, or much later while somebody holds a transaction open, the
index has an entry for each job that is gone; they are in front of those that wait. What this process was handed last
tells where those begin. A job may come in front of that again: given back, or sent in a transaction that took long to
commit. So every now and then a receive looks at everything, more rarely if that takes long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from umbel.engines.postgres_values import plain

EACH_SECONDS: Final = 0.25
"""After how long a receive looks at everything again, at the earliest."""
SHARE: Final = 100
"""What such a look takes longer than others is one part in so many of the time, at the most."""
LATEST_SECONDS: Final = 10.0
"""After how long a receive looks at everything again in any case."""
NOTHING: Final = (-(2**53), 0)
"""In front of everything: microseconds, and the number among those of one instant."""


class Floors:
    """The place of the last job that was handed out here, of each queue and level; *clock* counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._places: dict[tuple[str, int], tuple[int, int]] = {}
        self._looked = self._until = 0.0
        self._usual: float | None = None

    def due_in(self) -> float | None:
        """In how many seconds a receive has to look at everything; None: the last one did, and there was nothing."""
        return max(0.0, self._until - self._clock()) if self._places else None

    def reset(self) -> None:
        """Have the next receive look at everything: something was given back."""
        self._places.clear()

    def values(self, places: Iterable[tuple[str, int]]) -> tuple[str, str]:
        """The arrays of microseconds and numbers for *places*, pairs of queue and level."""
        if not self.due_in():
            self._places.clear()
        found = [self._places.get(place, NOTHING) for place in places]
        return plain(at for at, _ in found), plain(number for _, number in found)

    def looked(self, seconds: float, handed: Sequence[tuple[str, int, bytes, int]]) -> None:
        """Note what a receive that took *seconds* was handed: queue, level, time as the server writes it, number."""
        if self._places:
            self._usual = seconds if self._usual is None else self._usual + (seconds - self._usual) / 8
            if not handed:  # idle, so it may cost something
                self._until = min(self._until, self._looked + EACH_SECONDS)
        else:
            longer = 0.0 if self._usual is None else seconds - self._usual
            self._looked = self._clock()
            self._until = self._looked + min(max(EACH_SECONDS, SHARE * longer), LATEST_SECONDS)
        for queue, level, at, number in handed:
            self._places[queue, level] = int.from_bytes(at, signed=True), number
