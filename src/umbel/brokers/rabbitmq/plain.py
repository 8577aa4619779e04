"""The broker without a claim store: a job belongs to whoever has its message. Plain at-least-once.

What is known of a job travels in its message. How often its process has died is told by the count of deliveries that
a quorum queue keeps; so where that count must not rise a message does not go back, but is published anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from umbel.brokers.rabbitmq import posts
from umbel.brokers.rabbitmq.broker import RabbitMQBroker
from umbel.brokers.rabbitmq.desk import Desk, Held
from umbel.brokers.rabbitmq.intake import Arrival
from umbel.brokers.rabbitmq.mail import Mail
from umbel.brokers.rabbitmq.posts import Post
from umbel.brokers.rabbitmq.pulling import PullIntake
from umbel.claims.absent import NoClaims, told
from umbel.contracts.capabilities import RABBITMQ_ALONE
from umbel.contracts.claims import ClaimStore
from umbel.engines.amqp import Engine
from umbel.engines.amqp_letter import copied
from umbel.model.job import Counts, Delivery
from umbel.settings import Settings

ALONE_SECONDS: Final = 5.0
"""How long a job that shall run alone waits until those before it are settled."""
LAST_SECONDS: Final = 1.0
"""How long, at the end, messages may take to go back by being published."""


class PlainDesk(Desk):
    """The deliveries of one event loop, each as good as its message."""

    intake: PullIntake
    intake_type = PullIntake

    def __init__(self, engine: Engine, claims: ClaimStore, mail: Mail) -> None:
        super().__init__(engine, claims, mail)
        self.intake.gives_back = self._give_back
        self._settled = asyncio.Event()

    async def claim(self, session: str, arrivals: Sequence[Arrival]) -> list[Delivery] | None:
        """See `Desk.claim`. Of those that are to run alone one at a time is kept, so that no other dies with it."""
        alone = [arrival for arrival in arrivals if _runs_alone(arrival)]
        self.intake.adapt(one_by_one=bool(alone))
        left = alone if any(held.delivery.counts.crashes for held in self._held.values()) else alone[1:]
        self._give_back(left)
        return await super().claim(session, [arrival for arrival in arrivals if arrival not in left])

    def found(self, session: str, deliveries: Sequence[Delivery]) -> list[Held | None]:
        """See `Desk.found`; what was held is lost with its message, somebody else may have it by now."""
        return [
            None if held is not None and self._is_lost(held) else held for held in super().found(session, deliveries)
        ]

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Let *delivery* run alone, if its message says so; else have it say so, and come again."""
        (held,) = self.found(session, [delivery])
        if held is None:
            return False
        if not delivery.counts.marked:
            await self._again(held.arrival, msgspec.structs.replace(delivery.counts, marked=True))
            self._drop(held)
            self.intake.acknowledge([held.arrival])
            return False
        await self.intake.rest()
        if await self._left_alone():
            return True
        self._drop(held)
        self._give_back([held.arrival])
        return False

    async def carry(self, done: Sequence[Held]) -> None:
        """See `Desk.carry`."""
        await super().carry(done)
        self._settled.set()

    async def aclose(self) -> None:
        """See `Desk.aclose`; what nobody took goes back as usual."""
        await self.intake.rest()
        if self._chores:
            await asyncio.wait(self._chores, timeout=LAST_SECONDS)
        await super().aclose()

    async def _left_alone(self) -> bool:
        """Whether all else that was here is settled, or has gone back, by now or soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALONE_SECONDS):
                while len(self._held) > 1:
                    self._settled.clear()
                    await self._settled.wait()
                while self._chores:
                    await asyncio.wait(self._chores)
        return len(self._held) == 1 and not self._chores

    def _give_back(self, arrivals: Sequence[Arrival]) -> None:
        uncounted: list[Arrival] = []
        for arrival in arrivals:
            counts = posts.tag_of(arrival.message).counts
            deliveries = arrival.message.properties.deliveries
            if deliveries or counts.marked:
                self._later(arrival, partial(self._again, arrival, told(counts, deliveries)))
            else:
                uncounted.append(arrival)
        self.intake.requeue(uncounted)

    async def _again(self, arrival: Arrival, counts: Counts) -> None:
        message = arrival.message
        tag = posts.tag_of(message)
        post = Post(
            tag.id, arrival.queue, posts.level_of(message), generation=tag.generation, put_off=tag.put_off,
            counts=posts.written(counts),
        )  # fmt: skip
        await self._mail.deliver([copied(posts.letter(post, message.body))], [post])

    def _drop(self, held: Held) -> None:
        del self._held[held.delivery.id]

    def _is_lost(self, held: Held) -> bool:
        if held.settled or held.arrival.ours:
            return False
        self._drop(held)
        return True


def _runs_alone(arrival: Arrival) -> bool:
    counts = posts.tag_of(arrival.message).counts
    return told(counts, arrival.message.properties.deliveries).crashes > 0


class PlainBroker(RabbitMQBroker):
    """`Broker` on RabbitMQ alone."""

    powers = RABBITMQ_ALONE
    desk_type = PlainDesk
    heartbeat_seconds = 3.0  # what is taken back from a process that lives runs twice

    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(url, settings, NoClaims())

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note in its message that *delivery* is about to start alone."""
        desk = self._ready()
        return isinstance(desk, PlainDesk) and await desk.mark(session, delivery)
