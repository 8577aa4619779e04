"""Waiting for a condition with a deadline: the only way in which a suite waits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

T = TypeVar("T")

DEADLINE_SECONDS: Final = 60.0


async def eventually(condition: Callable[[], object], deadline: float = DEADLINE_SECONDS) -> None:
    """Wait until *condition*, sync or async, answers something true; fails after *deadline* seconds."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(0.005)


async def soon(awaitable: Awaitable[T], deadline: float = DEADLINE_SECONDS) -> T:
    """What *awaitable* answers; fails when that takes longer than *deadline* seconds."""
    async with asyncio.timeout(deadline):
        return await awaitable
