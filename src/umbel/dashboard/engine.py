"""Engine: asking the broker for what a page shows; a page is shown without it, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from umbel.dashboard.visit import Visit
from umbel.exceptions import UmbelError

T = TypeVar("T")


async def ask(visit: Visit, key: Hashable, seconds: float, make: Callable[[], Awaitable[T]]) -> tuple[T | None, str]:
    """What *make* answers, shared as by `Visit.shared`, and no trouble; or None, and what is in the way."""
    try:
        return await visit.shared(key, seconds, make), ""
    except (UmbelError, OSError, TimeoutError) as error:
        return None, str(error) or type(error).__name__
