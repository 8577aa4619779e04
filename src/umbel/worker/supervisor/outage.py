"""Outage: patience with a broker that is away, told in one line when it goes and one when it is back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from umbel.exceptions import BrokerError, BrokerFull, BrokerUnavailable
from umbel.model import chance

FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 1.0
_PASSING: Final = (BrokerUnavailable, BrokerFull, TimeoutError, OSError)

logger = logging.getLogger("umbel.worker")
T = TypeVar("T")


class Outage:
    """Shared by all who need the broker. While it is away they take turns: about one attempt a second in all."""

    def __init__(self, url: str, noun: str = "Broker") -> None:
        """Name the broker, or another *noun*, by its masked *url*; it is taken to be there until it is not."""
        self._name = f"{noun} {url}"
        self._since: float | None = None
        self._attempts = 0
        self._known = False
        self._turn = asyncio.Lock()
        self.last_seconds = 0.0
        """How long the last outage lasted."""
        self.back_at = 0.0
        """When it ended, by `time.monotonic`."""

    async def insist(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """The answer of *attempt*, which is made until the broker gives one, each time within *deadline* seconds.

        Raises `BrokerError` only before the broker has ever answered: then a wrong password or setting is to blame.
        """
        while True:
            try:
                if self._since is None:
                    return await self._try(attempt, deadline)
                async with self._turn:
                    await self._pause()
                    return await self._try(attempt, deadline)
            except _PASSING as error:
                self._failed(error)
            except BrokerError as error:
                if not self._known:
                    raise
                self._failed(error)

    async def _try(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        async with asyncio.timeout(deadline):
            answer = await attempt()
        self._answered()
        return answer

    async def _pause(self) -> None:
        if self._since is None:
            return  # whoever had the turn before found it back
        longest = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._attempts, 10))
        await asyncio.sleep(chance.uniform(0, longest))

    def _answered(self) -> None:
        self._known = True
        if self._since is None:
            return
        self.back_at = time.monotonic()
        self.last_seconds = self.back_at - self._since
        text = "%s is back after %.1f s (%d attempts)"
        logger.warning(text, self._name, self.last_seconds, self._attempts)
        self._since = None
        self._attempts = 0

    def _failed(self, error: Exception) -> None:
        self._attempts += 1
        if self._since is not None:
            return
        self._since = time.monotonic()
        reason = str(error) or type(error).__name__
        logger.error("%s is away: %s. Trying again until it is back", self._name, reason)
