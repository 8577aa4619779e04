"""Reading: what there is to be measured at one moment, as plain values, for those who write metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from umbel.contracts.jobs import paused_of
from umbel.contracts.powers import Inspector
from umbel.exceptions import DecodeError
from umbel.wire.envelope import MAX_LINK_BYTES, decode
from umbel.worker.figures import Line, Timings

CURE: Final = 'metrics need a package that is not installed here: pip install "umbel[prometheus]"'
"""What whoever asks for metrics is told where prometheus_client is missing, with status 501."""


class QueueReading(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a queue are where; *ready* are also those whose delay is over.

    *oldest* is for how many seconds the job at the front has been due; None: nobody knows, or there is none.
    """

    queue: str
    ready: int = 0
    delayed: int = 0
    running: int = 0
    parked: int = 0
    dead: int = 0
    held: int = 0
    oldest: float | None = None
    paused: bool = False

    @property
    def backlog(self) -> int:
        """What there is to do: jobs that wait, whose delay is over, and that run."""
        return self.ready + self.running


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One worker. *rss* is bytes; *lag* is by how many seconds the latest of its event loops came late of late.

    *reached* tells whether the broker has answered; without an answer there are no *queues*. *lateness* is by how much
    the ticks of schedules came late that were sent from here; *ended* counts its children by how they ended.
    """

    worker: str
    version: str
    live: bool
    ready: bool
    children: int
    slots: int
    used: int
    rss: int
    lag: float
    lines: tuple[Line, ...] = ()
    reached: bool = True
    queues: tuple[QueueReading, ...] = ()
    lateness: Timings = msgspec.field(default_factory=Timings)
    ended: dict[str, int] = {}


Exporter: TypeAlias = Callable[[Reading], tuple[bytes, str]]
"""Writes a reading down; answers the page and its content type. May be called in any thread."""


async def read_queues(broker: object, queues: Sequence[str]) -> tuple[QueueReading, ...]:
    """How *queues* are; nothing where *broker* cannot tell. Errors: those of `Inspector.counts`."""
    if not queues or not isinstance(broker, Inspector):
        return ()
    counts = await broker.counts(queues)
    paused = await paused_of(broker, queues)
    now = time.time()
    return tuple(
        QueueReading(
            queue=each.queue,
            ready=each.ready,
            delayed=each.delayed,
            running=each.running,
            parked=each.parked,
            dead=each.dead,
            held=each.held,
            oldest=_age(each.oldest, now) if each.ready else 0.0,
            paused=stopped,
        )
        for each, stopped in zip(counts, paused, strict=True)
    )


def _age(oldest: bytes | None, now: float) -> float | None:
    if oldest is None:
        return None
    try:
        envelope = decode(oldest, MAX_LINK_BYTES)
    except DecodeError:
        return None
    due = envelope.due or envelope.created
    return max(0.0, now - due) if due else None
