"""Sharing: answers that several who ask within a moment get together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_SHARED: Final = 256


class Sharing:
    """Answers by their keys, each for some seconds."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}

    async def get(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[T]]) -> T:
        """What *make* answered at most *seconds* ago.

        Whoever asks while the answer is being made waits for it, too. An error is told to all who wait, and not kept.
        """
        now = time.monotonic()
        kept = self._kept.get(key)
        if kept is None or kept[0] < now or (kept[1].done() and _failed(kept[1])):
            kept = (now + seconds, asyncio.ensure_future(make()))
            kept[1].add_done_callback(_failed)  # whoever waited for it may have gone
            self._forget_old(now)
            self._kept[key] = kept
        answer: T = await asyncio.shield(kept[1])
        return answer

    def forget(self) -> None:
        """Share nothing of what was answered up to now."""
        self._kept.clear()

    def _forget_old(self, now: float) -> None:
        if len(self._kept) >= MAX_SHARED:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[0] >= now}


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
