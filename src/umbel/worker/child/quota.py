"""Quota: how many jobs a child may begin before another one takes its place."""

from __future__ import annotations

from collections.abc import Callable


class Quota:
    """Counts the jobs that begin; *spent* is called once, when *jobs* of them have."""

    def __init__(self, jobs: int, spent: Callable[[], None]) -> None:
        """Nothing has begun."""
        self._left = jobs
        self._over = False
        self._spent = spent

    def room(self, asked: int) -> int:
        """As many of *asked* jobs as may begin yet."""
        return 0 if self._over else min(asked, self._left)

    def begin(self) -> None:
        """A job begins, or waits here for a slot."""
        self._left -= 1
        if self._left <= 0 and not self._over:
            self._over = True
            self._spent()

    def hand_back(self) -> None:
        """A job that waited here did not begin."""
        self._left += 1
