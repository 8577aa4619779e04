"""Herald: has user code told of the worker's own moments by a child or the forkserver, for the supervisor has none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Final

from umbel.worker.messages import Moment
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.forkserver import Forkserver, ForkserverGone

FAREWELL_SECONDS: Final = 5.0
"""How long the receivers of worker_shutdown may take."""


class Herald:
    """Tells of the moments *listened*, by their names; all others cost nothing."""

    def __init__(self, listened: Collection[str], children: Children) -> None:
        self._listened = frozenset(listened)
        self._children = children

    def ready(self) -> None:
        """The first child receives jobs."""
        self._tell(Moment("worker_ready"))

    def beaten(self) -> None:
        """The leases were renewed."""
        self._tell(Moment("heartbeat_sent"))

    def stopping(self, sig: str) -> None:
        """The worker was asked to stop, by the signal named *sig* or otherwise."""
        self._tell(Moment("worker_shutting_down", {"sig": sig, "how": "Warm", "exitcode": 0}))

    async def stopped(self, forkserver: Forkserver | None) -> None:
        """All children are gone; *forkserver* goes next."""
        if forkserver is None or "worker_shutdown" not in self._listened:
            return
        with contextlib.suppress(ForkserverGone, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await forkserver.announce(Moment("worker_shutdown"))

    def _tell(self, moment: Moment) -> None:
        if moment.name not in self._listened:
            return
        for child in self._children.living():
            if child.ready:
                child.announce(moment)
                return
