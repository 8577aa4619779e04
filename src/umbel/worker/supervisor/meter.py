"""Meter: reads what there is to be measured of this worker, and has it written down for whoever asks, once a second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Final, Protocol

from umbel.contracts.broker import Broker
from umbel.exceptions import DecodeError, UmbelError
from umbel.model.job import Job
from umbel.wire.envelope import MAX_LINK_BYTES, decode
from umbel.wire.ticks import TICK_HEADER
from umbel.worker import kernel
from umbel.worker.figures import Figures, Timings
from umbel.worker.messages import Counted
from umbel.worker.reading import Exporter, QueueReading, Reading, read_queues
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.health import Verdict

FRESH_SECONDS: Final = 1.0
"""How long a page is given out again: however many ask, the broker is asked no more often."""
ANSWER_SECONDS: Final = 2.0
"""How long the broker may take to tell how its queues are."""


class Ticking(Protocol):
    """Who sends the ticks of schedules."""

    told: Callable[[str, Job], None] | None


class Meter:
    """Reads *children*; *export* writes the reading, *verdict* says how the worker is."""

    def __init__(self, children: Children, verdict: Callable[[], Verdict], export: Exporter) -> None:
        """Nothing was counted yet."""
        self.broker: Broker | None = None
        """Asked for the queues, once it is there."""
        self._children = children
        self._verdict = verdict
        self._export = export
        self._figures = Figures()
        self._lateness = Timings()
        self._turn = asyncio.Lock()
        self._page = (b"", "")
        self._read_at = -FRESH_SECONDS
        children.counted = self.count

    def count(self, counted: Counted) -> None:
        """A child has counted something."""
        self._figures.add(counted.lines)

    def follow(self, scheduler: Ticking) -> None:
        """Note how late the ticks of *scheduler* are, beside whoever hears of them already."""
        before = scheduler.told

        def ticked(name: str, job: Job) -> None:
            self._tick(job)
            if before is not None:
                before(name, job)

        scheduler.told = ticked

    async def page(self) -> tuple[bytes, str]:
        """How it all is, written down, and the content type; no older than `FRESH_SECONDS`."""
        async with self._turn:
            now = time.monotonic()
            if now - self._read_at >= FRESH_SECONDS:
                reading = await self._reading()
                # Much text, and at first an import: leases are renewed in this loop, so it is done beside it.
                self._page = await asyncio.to_thread(self._export, reading)
                self._read_at = time.monotonic()
            return self._page

    async def _reading(self) -> Reading:
        queues = await self._queues()
        verdict, plan, children = self._verdict(), self._children.plan, self._children.living()
        pids = [os.getpid(), *(child.pid for child in children if child.pid)]
        return Reading(
            worker=plan.worker,
            version=plan.version,
            live=verdict.live,
            ready=verdict.ready,
            children=len(children),
            slots=plan.slots * self._children.count,
            used=self._children.running(),
            rss=sum(map(kernel.resident, pids)),
            lag=max((child.lag for child in children), default=0.0),
            lines=tuple(self._figures.lines()),
            reached=queues is not None,
            queues=queues or (),
            lateness=self._lateness.copy(),
            ended=dict(self._children.ends),
        )

    async def _queues(self) -> tuple[QueueReading, ...] | None:
        with contextlib.suppress(UmbelError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                return await read_queues(self.broker, self._children.plan.queues)
        return None

    def _tick(self, job: Job) -> None:
        with contextlib.suppress(DecodeError):
            tick = (decode(job.envelope, MAX_LINK_BYTES).headers or {}).get(TICK_HEADER)
            if isinstance(tick, int | float):
                self._lateness.note(max(0.0, time.time() - tick))
