"""Settler: gathers outcomes and carries them out, one settle a batch, repeated until the broker has answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from umbel.contracts.broker import Settlement
from umbel.exceptions import BrokerFull, BrokerUnavailable
from umbel.execution.executor import Finished
from umbel.execution.moments import Moments
from umbel.execution.verdict import settlement_of
from umbel.model import chance
from umbel.model.failure import capture
from umbel.model.outcome import Completed, Failed
from umbel.signals import task_internal_error
from umbel.worker.child.link import Link

MAX_BATCH: Final = 256
RETRY_SECONDS: Final = 1.0
MAX_RETRY_FACTOR: Final = 30

_logger = logging.getLogger("umbel.worker")


class Settler:
    """Settles what is added, in order. A batch is whatever gathered while the one before it was on its way.

    *settled* is called with each batch and whether each item was still ours; a refused one is dropped, logged, counted.
    """

    moments: Moments | None = None
    """Told of outcomes that cannot travel."""

    def __init__(
        self, link: Link, worker: str, expires: float, settled: Callable[[list[Finished], list[bool]], None]
    ) -> None:
        """*worker* is named in the records, which are kept for *expires* seconds."""
        self._link = link
        self._worker = worker
        self._expires = expires
        self._settled = settled
        self._waiting: deque[Finished] = deque()
        self._refused = 0
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many outcomes wait for the broker."""
        return len(self._waiting) + self._refused

    def add(self, finished: Finished) -> None:
        """Settle it with the next batch, unless its task has done so itself."""
        if isinstance(finished.outcome, Completed):
            self._settled([finished], [True])
            return
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
                await self._settle([self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))])
            if not self._refused:
                self._idle.set()

    async def _settle(self, batch: list[Finished]) -> None:
        """Settle *batch*, repeating it until there is an answer: a repeat changes nothing."""
        now = time.time()
        settlements = [self.settlement(finished, now) for finished in batch]
        told = False
        while True:
            try:
                # The record first, then the removal: a crash between the two is repaired by the redelivery.
                settlements = await self._link.ledger.record(settlements)
                answers = await self._link.broker.settle(self._link.session, settlements)
            except (BrokerUnavailable, BrokerFull) as error:
                level = logging.DEBUG if told else logging.WARNING  # once is enough: the batch repeats until it is over
                told = True
                _logger.log(level, "%d outcomes wait: %s", len(batch) + len(self), error)
            except Exception as error:  # noqa: BLE001 - whatever it is, no other outcome may wait for it
                # It may be one item's fault, so each goes alone.
                _logger.error(  # noqa: TRY400 - the traceback of a driver helps nobody
                    "%d outcomes cannot be settled, trying again: %s: %s", len(batch), type(error).__name__, error
                )
                return await self._split(batch)
            else:
                return self._settled(batch, answers)
            await asyncio.sleep(RETRY_SECONDS * chance.random())

    async def _split(self, batch: list[Finished]) -> None:
        if len(batch) > 1:
            for finished in batch:
                await self._settle([finished])
            return
        self._refused += 1
        # The more there are, the less it is the fault of one item: then all come back more rarely.
        delay = RETRY_SECONDS * min(1 + self._refused / 10, MAX_RETRY_FACTOR)
        asyncio.get_running_loop().call_later(delay, self._again, batch[0])

    def _again(self, finished: Finished) -> None:
        self._refused -= 1
        self.add(finished)

    def settlement(self, finished: Finished, now: float) -> Settlement:
        """What the broker is to do about *finished* at unix time *now*."""
        try:
            return settlement_of(finished, self._worker, now, self._expires)
        except Exception as error:
            _logger.exception("the outcome of %s[%s] cannot travel", finished.task, finished.delivery.id)
            if task_internal_error.receivers and self.moments is not None:
                self.moments.stumbled(finished, error)
            failed = msgspec.structs.replace(finished, outcome=Failed(capture(error)))
            return settlement_of(failed, self._worker, now, self._expires)
