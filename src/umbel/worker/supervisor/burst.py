"""Burst: work until nothing is left to do, and end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from umbel.contracts.broker import Broker
from umbel.contracts.powers import Inspector
from umbel.exceptions import ImproperlyConfigured
from umbel.worker.supervisor.depth import depth_of

LOOK_SECONDS: Final = 0.2
DEADLINE_SECONDS: Final = 5.0
QUIET_LOOKS: Final = 2
"""So many looks in a row must find nothing: jobs may be on their way from one queue to another during a single one."""

T = TypeVar("T")


class Patient(Protocol):
    """Whoever makes an attempt until the broker answers, each within *deadline* seconds."""

    async def insist(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """The answer of *attempt*."""
        ...


class Burst:
    """Waits until the queues of *queues* hold nothing that is ready, due, held by a limit or running, wherever it runs.

    Jobs that are due later are not waited for, nor are retries that wait for their delay.
    """

    def __init__(self, broker: Broker, queues: Callable[[], Sequence[str]], lease: float, place: str) -> None:
        """Raises `ImproperlyConfigured` if the broker at *place* cannot tell what it holds."""
        if not isinstance(broker, Inspector):
            raise ImproperlyConfigured(f"--burst needs a broker that can tell what it holds: {place} cannot")
        self._broker = broker
        self._inspector = broker
        self._queues = queues
        self._lease = lease

    async def over(self, outage: Patient) -> None:
        """Return when there is nothing left to do."""
        quiet = 0
        while quiet < QUIET_LOOKS:
            await asyncio.sleep(LOOK_SECONDS)
            quiet = 0 if await outage.insist(self._busy, DEADLINE_SECONDS) else quiet + 1

    async def _busy(self) -> bool:
        queues = self._queues()
        # What is due, and what a dead worker left behind, is made ready first: only then it is counted as such.
        moved = await self._broker.reclaim(queues, self._lease)
        if moved.promoted or moved.returned:
            return True
        depth = await depth_of(self._inspector, queues)
        return depth.ready + depth.running + depth.held > 0
