"""Waiting for a record: subscribe, look, wait for the message, which carries it. No polling while the line holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Sequence
from math import inf
from typing import Any, Final

from umbel.engines.operation import adrive, drive
from umbel.engines.patience import Patience
from umbel.engines.redis_command import Command
from umbel.engines.redis_opening import AnyEngine
from umbel.stores.redis.operations import gets, queues, record_in

LOOK_AGAIN_SECONDS: Final = 15.0
"""A silent line may be a dead one: it is asked this often."""


def watch(engine: AnyEngine, channel: bytes, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
    """The record of *job_id*, or None if it does not come within *timeout* seconds (None: for ever).

    A line that is lost is made again. Raises `BrokerUnavailable` when that fails for the whole send deadline.
    """
    end = _end(timeout)
    patience = engine.patience()
    while True:
        try:
            with engine.subscription(channel) as subscription:
                return drive(_watching(job_id, queue, end, patience), subscription.ask)
        except OSError as error:
            pause = patience.pause(error)
        if _left(end) <= 0:
            return None
        time.sleep(min(pause, _left(end)))


async def awatch(
    engine: AnyEngine, channel: bytes, job_id: str, queue: str | None, timeout: float | None
) -> bytes | None:
    """The async twin of `watch`."""
    end = _end(timeout)
    patience = engine.patience()
    while True:
        try:
            async with engine.asubscription(channel) as subscription:
                return await adrive(_watching(job_id, queue, end, patience), subscription.ask)
        except OSError as error:
            pause = patience.pause(error)
        if _left(end) <= 0:
            return None
        await asyncio.sleep(min(pause, _left(end)))


def _watching(
    job_id: str, queue: str | None, end: float, patience: Patience
) -> Generator[Sequence[Command] | float, Any, bytes | None]:
    """Yields commands, whose replies it wants, or seconds, in which it wants a message."""
    while True:
        names = [queue] if queue is not None else sorted(name.decode() for name in (yield [queues()])[0])
        record = record_in((yield gets(job_id, names))) if names else None
        patience.restart()
        left = _left(end)
        if record is not None or left <= 0:
            return record
        message: bytes | None = yield min(left, LOOK_AGAIN_SECONDS)
        if message is not None:
            return message


def _end(timeout: float | None) -> float:
    return inf if timeout is None else time.monotonic() + timeout


def _left(end: float) -> float:
    return end - time.monotonic()
