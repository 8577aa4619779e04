"""Round trips timed one after the other. Standard library only."""

from collections.abc import Awaitable, Callable
from time import perf_counter


def timed(count: int, call: Callable[[], object]) -> list[float]:
    """Seconds that each of *count* calls took."""
    taken = []
    for _ in range(count):
        started = perf_counter()
        call()
        taken.append(perf_counter() - started)
    return taken


async def timed_async(count: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """Seconds that each of *count* awaited calls took."""
    taken = []
    for _ in range(count):
        started = perf_counter()
        await call()
        taken.append(perf_counter() - started)
    return taken
