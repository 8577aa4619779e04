"""Sampling: how full the queues are, every 10 s, asked of the broker itself, so it works while no worker lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from umbel.contracts.history import Archive, Transaction
from umbel.contracts.jobs import paused_of
from umbel.contracts.powers import Inspector, QueueCounts
from umbel.exceptions import DecodeError
from umbel.history.bounds import short
from umbel.history.counters import Counters
from umbel.history.names import Names, Naming
from umbel.wire import envelope

PERIOD_SECONDS: Final = 10
ALL: Final = 0
"""What stands for all queues."""


class Sampler:
    """Samples all queues that *broker*, also an *inspector*, knows; *clock* answers unix seconds."""

    def __init__(self, archive: Archive, broker: object, inspector: Inspector, clock: Callable[[], float]) -> None:
        self._archive = archive
        self._broker = broker
        self._inspector = inspector
        self._clock = clock

    async def sample(self) -> int:
        """Note how the queues are, once a period whoever does it; answers how many there are."""
        names = await self._inspector.queues()
        counts = await self._inspector.counts(names)
        paused = await paused_of(self._broker, [count.queue for count in counts])
        now = self._clock()
        if counts:
            await asyncio.to_thread(self._note, counts, paused, now)
        return len(counts)

    def _note(self, counts: list[QueueCounts], paused: list[bool], now: float) -> None:
        def step(transaction: Transaction) -> None:
            counters = Counters(transaction)
            naming = Naming(transaction, Names(), counters)
            naming.prepare("queue", [short(count.queue) for count in counts])
            bucket = int(now) // PERIOD_SECONDS * PERIOD_SECONDS
            rows = [
                (naming("queue", short(count.queue)), *_figures(count, now), int(stopped))
                for count, stopped in zip(counts, paused, strict=True)
            ]
            for queue, *figures in (*rows, _together(rows)):
                transaction.rows("ingest.queue_sample", queue, bucket, *figures)
            counters.save()

        self._archive.write(step)


_Row: TypeAlias = tuple[int, int, int, int, int, int, int, int | None, int]
"""The number of a queue, six counts, the age of its oldest job, and whether it is paused."""


def _figures(count: QueueCounts, now: float) -> tuple[int, int, int, int, int, int, int | None]:
    counts = (count.ready, count.delayed, count.running, count.parked, count.held, count.dead)
    return (*counts, _age(count.oldest, now))


def _together(rows: Sequence[_Row]) -> _Row:
    """What all queues hold, under the number 0, so that a chart of days need not read the samples of each."""
    ages = [row[7] for row in rows if row[7] is not None]
    ready, delayed, running, parked, held, dead = (sum(row[place] or 0 for row in rows) for place in range(1, 7))
    return (ALL, ready, delayed, running, parked, held, dead, max(ages, default=None), 0)


def _age(oldest: bytes | None, now: float) -> int | None:
    """For how long the job is due that is ready for longest, in ms; None if there is none, or if it cannot be read."""
    if oldest is None:
        return None
    try:
        found = envelope.decode(oldest, len(oldest))
    except DecodeError:
        return None
    due = found.due or found.created
    return max(0, round((now - due) * 1000)) if due else None
