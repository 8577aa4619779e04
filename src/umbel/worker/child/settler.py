"""Settler: gathers outcomes and carries them out, one settle a batch, repeated until the broker has answered."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from umbel.exceptions import BackendError, BrokerError, BrokerUnavailable
from umbel.execution.executor import Finished
from umbel.execution.verdict import settlement_of
from umbel.worker.child.link import Link

MAX_BATCH: Final = 256
RETRY_SECONDS: Final = 1.0

_logger = logging.getLogger("umbel.worker")


class Settler:
    """Settles what is added, in order. A batch is whatever gathered while the one before it was on its way.

    *settled* is called with each batch and whether each item was still ours; a refused one is dropped, logged, counted.
    """

    def __init__(
        self, link: Link, worker: str, expires: float, settled: Callable[[list[Finished], list[bool]], None]
    ) -> None:
        """*worker* is named in the records, which are kept for *expires* seconds."""
        self._link = link
        self._worker = worker
        self._expires = expires
        self._settled = settled
        self._waiting: deque[Finished] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many outcomes wait for the broker."""
        return len(self._waiting)

    def add(self, finished: Finished) -> None:
        """Settle it with the next batch."""
        self._waiting.append(finished)
        self._more.set()
        self._idle.clear()

    async def drained(self) -> None:
        """Wait until everything added so far was answered."""
        await self._idle.wait()

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                answers = await self._settle(batch)
                self._settled(batch, answers)
            self._idle.set()

    async def _settle(self, batch: list[Finished]) -> list[bool]:
        """Settle *batch*, repeating it until there is an answer: a repeat changes nothing."""
        now = time.time()
        settlements = [settlement_of(finished, self._worker, now, self._expires) for finished in batch]
        while True:
            try:
                # The record first, then the removal: a crash between the two is repaired by the redelivery.
                settlements = await self._link.ledger.record(settlements)
                return await self._link.broker.settle(self._link.session, settlements)
            except (BrokerUnavailable, BackendError) as error:
                _logger.warning("%d outcomes wait for the broker: %s", len(batch) + len(self._waiting), error)
            except BrokerError:
                _logger.exception("the broker refuses to settle %d outcomes; trying again", len(batch))
            await asyncio.sleep(RETRY_SECONDS * random.random())
