"""What an engine guarantees that pauses queues: nobody receives, and everybody goes on when it is resumed."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power
from umbel.contracts.jobs import QueuePauser, pauser_of
from umbel.testing.conformance.eventually import soon
from umbel.testing.conformance.stage import OTHER, QUEUE, ids
from umbel.testing.conformance.waiting import SETTLING_SECONDS, WaitingStage

IDLE_SHARE = 0.2
"""The most of one processor that a client may use which waits; the best of some tries counts, each longer."""
TRIES = 5


class RestingConformance(WaitingStage):
    """`QueuePauser`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.PAUSES

    @property
    def pauser(self) -> QueuePauser:
        """What pauses queues of the broker under test."""
        return _pauser(self.broker)

    async def test_nobody_receives_from_a_queue_that_is_paused(self) -> None:
        await self.send("before")
        session = await self.open()
        await self.pauser.apause(QUEUE, paused=True)
        await self.send("after")
        assert await self.take(session) == []
        await self.pauser.apause(QUEUE, paused=False)
        assert ids(await self.take(session)) == ["before", "after"]

    async def test_which_queues_are_paused_is_told_to_every_client(self) -> None:
        await self.pauser.apause(OTHER, paused=True)
        await self.pauser.apause(OTHER, paused=True)
        other = _pauser(self.client())
        assert await other.apaused([QUEUE, OTHER, "nowhere"]) == [False, True, False]
        other.pause(OTHER, paused=False)
        assert self.pauser.paused([OTHER]) == [False]

    async def test_the_other_queues_of_a_session_go_on(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.send("stays")
        await self.send("comes", queue=OTHER)
        await self.pauser.apause(QUEUE, paused=True)
        assert ids(await self.take(session, queues=[QUEUE, OTHER])) == ["comes"]

    async def test_a_receiver_that_waits_sees_the_resume(self) -> None:
        self.real_time()
        await self.pauser.apause(QUEUE, paused=True)
        await self.send("job")
        delivery = await self.woken_by(lambda: self.pauser.apause(QUEUE, paused=False))
        assert delivery.id == "job"

    async def test_a_receiver_that_waits_on_two_queues_sees_what_comes_to_the_other(self) -> None:
        self.real_time()
        session = await self.open(QUEUE, OTHER)
        await self.pauser.apause(QUEUE, paused=True)
        await self.send("stays")
        waiting = asyncio.create_task(self.wait_for(session, 1, (QUEUE, OTHER)))
        await asyncio.sleep(SETTLING_SECONDS)
        await self.send("comes", queue=OTHER)
        assert ids(await soon(waiting, 20.0)) == ["comes"]

    async def test_a_receiver_of_a_paused_queue_does_not_spin(self) -> None:
        self.real_time()
        session = await self.open()
        await self.pauser.apause(QUEUE, paused=True)
        await self.send("ready")
        await self.send("due", eta=time.time() - 10.0)
        await self.send("soon", delay=0.01)
        assert await self.take(session) == []
        shares: list[float] = []
        while len(shares) < TRIES and min(shares, default=1.0) > IDLE_SHARE:
            shares.append(await self.share_of_waiting(session, 0.2 * 2 ** len(shares)))
        assert min(shares) <= IDLE_SHARE

    async def share_of_waiting(self, session: str, seconds: float) -> float:
        """The share of one processor that this process uses while it waits in vain for so many seconds."""
        begun, used = time.monotonic(), time.process_time()
        while (left := begun + seconds - time.monotonic()) > 0:
            assert await self.broker.receive(session, [QUEUE], 1, wait=left) == []
        return (time.process_time() - used) / (time.monotonic() - begun)


def _pauser(broker: Broker) -> QueuePauser:
    pauser = pauser_of(broker)
    assert pauser is not None
    return pauser
