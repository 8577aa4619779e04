"""Throttle: who guesses passwords or tokens has to wait."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

FAILURES: Final = 10
WINDOW_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 10_000
_NETWORK_BITS: Final = 64


class Throttle:
    """Counts failures by address: `FAILURES` within `WINDOW_SECONDS`, and nobody from there is let try again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str) -> None:
        """Somebody at *address* has given a wrong password or token."""
        times = self._failed.setdefault(_of(address), deque(maxlen=FAILURES))
        times.append(self._clock())
        self._failed.move_to_end(_of(address))
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    def wait(self, address: str) -> float:
        """For how many seconds nobody at *address* may try; 0: now."""
        times = self._failed.get(_of(address))
        if times is None or len(times) < FAILURES:
            return 0.0
        return max(0.0, times[0] + WINDOW_SECONDS - self._clock())


def _of(address: str) -> str:
    # Whoever has one IPv6 address has a network of them.
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(int(found) >> _NETWORK_BITS) if isinstance(found, IPv6Address) else address
