"""Rates: has children ask for the jobs of tasks whose rate was set while workers run, those without limits, too."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from umbel.contracts.limits import LimitStore
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.outage import Outage

INTERVAL_SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 5.0


class Rates:
    """One loop that reads what the broker keeps: now and then, and when somebody says that there is news."""

    def __init__(self, store: LimitStore, children: Children, outage: Outage) -> None:
        """Nothing is known yet."""
        self._store = store
        self._children = children
        self._outage = outage
        self._news = asyncio.Event()
        self.known = asyncio.Event()
        """Set when the children that start from now on know what is set."""

    def look(self) -> None:
        """Read soon: somebody has set a rate."""
        self._news.set()

    async def run(self) -> None:
        """Read for ever. Raises `BrokerError` as `Outage.insist`."""
        while True:
            self._news.clear()
            self._children.adjust(await self._outage.insist(self._read, DEADLINE_SECONDS))
            self.known.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._news.wait()

    async def _read(self) -> list[tuple[str, str]]:
        return await self._store.adjusted(self._children.plan.queues)
