"""Depth: how much there is to do in the queues of a worker, for those who decide by it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from umbel.contracts.jobs import paused_of
from umbel.contracts.powers import Inspector


class Depth(msgspec.Struct, frozen=True):
    """Jobs that are *ready* to be received, that are *running*, here or elsewhere, and that are *held* by limits."""

    ready: int
    running: int
    held: int = 0


async def depth_of(broker: Inspector, queues: Sequence[str]) -> Depth:
    """The jobs of *queues*; those of a paused one that wait are not there, for nobody may receive them."""
    counts = await broker.counts(queues)
    paused = await paused_of(broker, queues)
    open_ones = [each for each, stopped in zip(counts, paused, strict=True) if not stopped]
    ready, held = sum(each.ready for each in open_ones), sum(each.held for each in open_ones)
    return Depth(ready, sum(each.running for each in counts), held)
