"""Engine: asking the broker for what a page shows; a page is shown without it, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, TypeVar

from umbel.dashboard.visit import Visit
from umbel.exceptions import UmbelError

T = TypeVar("T")

PATIENCE_SECONDS: Final = 2.0
"""How long a page waits for one answer of a broker that is slow or away."""
QUIET_SECONDS: Final = 3.0
"""For how long nobody asks again what has just failed: pages would be slow for as long as the broker is away."""


async def ask(visit: Visit, key: Hashable, seconds: float, make: Callable[[], Awaitable[T]]) -> tuple[T | None, str]:
    """What *make* answers, shared as by `Visit.shared`, and no trouble; or None, and what is in the way."""
    troubles = visit.station.troubles

    async def told() -> T:
        try:
            return await make()
        except (UmbelError, OSError) as error:
            troubles.put(key, str(error) or type(error).__name__, QUIET_SECONDS)  # whoever waited may have gone
            raise

    known = troubles.get(key)
    if known:
        return None, known
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await visit.shared(key, seconds, told), ""
    except TimeoutError as error:
        return None, str(error) or f"There was no answer within {PATIENCE_SECONDS:g} s."
    except (UmbelError, OSError) as error:
        return None, str(error) or type(error).__name__
