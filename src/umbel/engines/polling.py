"""Looking again and again, where nobody can wake who waits: often at first, then at a steady pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

FIRST_SECONDS: Final = 0.05
"""The first pause, unless the steady one is shorter; each is twice as long as the one before."""


def polled(look: Callable[[], list[T]], wait: float, pace: float) -> list[T]:
    """What *look* finds within *wait* seconds, or nothing; it is called each *pace* seconds, at first more often."""
    end = time.monotonic() + wait
    pause = FIRST_SECONDS
    while True:
        found, left = look(), end - time.monotonic()
        if found or left <= 0:
            return found
        time.sleep(min(left, pause, pace))
        pause = min(2 * pause, pace)


async def apolled(look: Callable[[], Awaitable[list[T]]], wait: float, pace: float) -> list[T]:
    """The async twin of `polled`."""
    end = time.monotonic() + wait
    pause = FIRST_SECONDS
    while True:
        found, left = await look(), end - time.monotonic()
        if found or left <= 0:
            return found
        await asyncio.sleep(min(left, pause, pace))
        pause = min(2 * pause, pace)
