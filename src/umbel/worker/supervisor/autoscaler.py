"""Autoscaler: more children while jobs wait for a slot, fewer when those that are there have nothing to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from umbel.contracts.powers import Inspector
from umbel.exceptions import UmbelError
from umbel.worker.supervisor.depth import depth_of

LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 30.0
"""For how long there must have been a child too many before one ends, as Celery keeps them."""
COUNT_SECONDS: Final = 5.0

logger = logging.getLogger("umbel.worker")


class Scaled(Protocol):
    """The children of a worker, as far as their number goes."""

    @property
    def count(self) -> int:
        """How many there are to be."""
        ...

    def running(self) -> int:
        """How many jobs they run."""
        ...

    def grow(self, number: int) -> int:
        """Have *number* more."""
        ...

    def shrink(self, number: int) -> int:
        """Have *number* fewer, those first that run nothing; no job is broken off."""
        ...


class Autoscaler:
    """Keeps between *least* and *most* children, each with *slots* slots for `def` tasks."""

    def __init__(self, children: Scaled, slots: int, most: int, least: int) -> None:
        """Nothing was seen yet."""
        self._children = children
        self._slots = slots
        self._most = most
        self._least = least
        self._idle_since: float | None = None

    def keep(self, most: int, least: int) -> int:
        """Keep between *least* and *most* children from now on; answers how many there are to be."""
        self._most, self._least, self._idle_since = most, least, None
        children = self._children
        if children.count > most:
            return children.shrink(children.count - most)
        return children.grow(max(0, least - children.count))

    async def run(self, inspector: Inspector, queues: Callable[[], Sequence[str]]) -> None:
        """Look at *queues* every second, for ever; while there are none, nothing is changed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            names = queues()
            if not names:
                continue
            # A broker that is away has no jobs to hand out either: whoever needs it says so.
            with contextlib.suppress(UmbelError, OSError, TimeoutError):
                async with asyncio.timeout(COUNT_SECONDS):
                    depth = await depth_of(inspector, names)
                self.look(depth.ready, time.monotonic())

    def look(self, waiting: int, now: float) -> None:
        """Grow or shrink, if *waiting* jobs are ready at *now*, in monotonic seconds."""
        children = self._children
        count = children.count
        free = count * self._slots - children.running()
        if waiting > max(free, 0):
            self._idle_since = None
            wanted = min(self._most, count + math.ceil((waiting - max(free, 0)) / self._slots))
            if wanted > count:
                logger.info("Autoscale: %d jobs wait, %d children become %d", waiting, count, wanted)
                children.grow(wanted - count)
        elif waiting or free <= self._slots or count <= self._least:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= IDLE_SECONDS:
            idle = min(count - self._least, (free - 1) // self._slots)
            logger.info("Autoscale: little to do, %d children become %d", count, count - idle)
            children.shrink(idle)
            self._idle_since = None
