"""Sends that are made at once in one event loop: while one is under way the others gather, and then travel together.

So a thousand coroutines that send a job each cost a few statements and a few commits. One that is alone does not wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from umbel.brokers.postgres.packing import MAX_SENT, MAX_SENT_BYTES
from umbel.engines.lanes import Lanes
from umbel.exceptions import BrokerFull, BrokerUnavailable
from umbel.model.job import Job

MOST_JOINED: Final = 20
"""A send of more jobs than this travels alone: the others would wait for it."""


class _Sent(NamedTuple):
    jobs: Sequence[Job]
    done: asyncio.Future[None]


class _Ferry:
    """What gathers in one event loop, and whether somebody is under way."""

    __slots__ = ("task", "under_way", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Sent] = deque()
        self.under_way = False
        self.task: asyncio.Task[None] | None = None

    def load(self) -> list[_Sent]:
        """Take aboard what one statement carries, and whose senders have not given up."""
        taken: list[_Sent] = []
        number = size = 0
        while self.waiting and number < MAX_SENT - MOST_JOINED and size < MAX_SENT_BYTES:
            sent = self.waiting.popleft()
            if not sent.done.done():
                taken.append(sent)
                number += len(sent.jobs)
                size += sum(len(job.envelope) for job in sent.jobs)
        return taken


class Joined:
    """Sends by *send*, which accepts jobs in one step and may be repeated."""

    def __init__(self, send: Callable[[Sequence[Job]], Awaitable[None]]) -> None:
        self._send = send
        self._ferries = Lanes(_Ferry, lambda: None)

    async def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*, alone or with those of others; raises what is wrong with them and not with the others'."""
        ferry = self._ferries.here()
        if len(jobs) > MOST_JOINED:
            await self._send(jobs)
        elif ferry.under_way:
            done = asyncio.get_running_loop().create_future()
            ferry.waiting.append(_Sent(jobs, done))
            await done
        else:
            ferry.under_way = True
            try:
                await self._send(jobs)
            finally:
                self._go_on(ferry)

    def _go_on(self, ferry: _Ferry) -> None:
        """Carry what has gathered meanwhile: not by its sender, who has got his answer, or was cancelled."""
        if ferry.waiting:
            ferry.task = asyncio.get_running_loop().create_task(self._carry(ferry))
        else:
            ferry.under_way = False

    async def _carry(self, ferry: _Ferry) -> None:
        load: list[_Sent] = []
        try:
            while load := ferry.load():
                await self._deliver(load)
        finally:
            for sent in (*load, *ferry.waiting):  # the loop ends before they have got an answer
                sent.done.cancel()
            ferry.waiting.clear()
            ferry.under_way = False

    async def _deliver(self, load: Sequence[_Sent]) -> None:
        try:
            await self._send([job for sent in load for job in sent.jobs])
        except Exception as error:  # noqa: BLE001 - each sender raises what he is to see
            if len(load) > 1 and not isinstance(error, BrokerUnavailable | BrokerFull):
                for sent in load:  # one of them is refused, and the others shall not be
                    await self._deliver([sent])
                return
            for sent in load:
                _fail(sent, error, alone=len(load) == 1)
        else:
            for sent in load:
                if not sent.done.done():
                    sent.done.set_result(None)


def _fail(sent: _Sent, error: Exception, *, alone: bool) -> None:
    if sent.done.done():
        return
    told = error if alone else type(error)(*error.args)  # one of his own for each: errors gather tracebacks
    told.__cause__ = error.__cause__
    sent.done.set_exception(told)
