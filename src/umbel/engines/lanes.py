"""Lanes: what each event loop has for itself in an engine that many loops, threads and forked children share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """A lane for each event loop of this process, made by *make* at its first use.

    A forked child has none: *reborn* is called there first, to let go of what else belongs to the parent.
    """

    def __init__(self, make: Callable[[], T], reborn: Callable[[], None]) -> None:
        self._make = make
        self._reborn = reborn
        self._pid = os.getpid()
        self._lanes: dict[asyncio.AbstractEventLoop, T] = {}

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child that has not asked for anything yet."""
        return self._pid != os.getpid()

    def adopt(self) -> None:
        """Begin anew in a forked child."""
        if self.inherited:
            self._pid = os.getpid()
            self._lanes = {}
            self._reborn()

    def here(self) -> T:
        """The lane of the running loop."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is None:
            self.adopt()
            for other in [other for other in self._lanes if other.is_closed()]:
                del self._lanes[other]
            lane = self._lanes[loop] = self._make()
        return lane

    def leave(self) -> T | None:
        """The lane of the running loop, if it had one; it has none any more."""
        return self._lanes.pop(asyncio.get_running_loop(), None)
