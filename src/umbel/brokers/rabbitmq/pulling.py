"""Pulling: an intake that asks for each message, so that none is handed out which nobody has asked for.

RabbitMQ counts how often a message was handed out. What is pushed and goes back, or meets a consumer that has just
left, is counted as well; what is asked for comes back only if its process dies, or says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final

from umbel.brokers.rabbitmq import names
from umbel.brokers.rabbitmq.intake import MAX_BYTES, MAX_PREFETCH, Arrival, Intake
from umbel.brokers.rabbitmq.topology import Topology
from umbel.engines.amqp import Engine
from umbel.engines.amqp_channel import NOT_FOUND, Channel, Refused
from umbel.exceptions import BrokerError

FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 0.2
"""Between two looks into empty queues."""
AT_ONCE: Final = 32


class PullIntake(Intake):
    """An `Intake` without consumers."""

    def __init__(self, engine: Engine, topology: Topology) -> None:
        super().__init__(engine, topology)
        self._pause = FIRST_PAUSE_SECONDS
        self._pulling: asyncio.Task[None] | None = None
        self._most = MAX_PREFETCH
        self._given_back: Counter[tuple[str, int]] = Counter()

    def adapt(self, *, one_by_one: bool) -> None:
        """Ask for one message at a time from now on, or for more each time."""
        self._most = 1 if one_by_one else min(2 * self._most, MAX_PREFETCH)

    async def consume(self, queues: Sequence[str], busy: int) -> None:
        """Have up to as many messages here as are asked for. Raises `BrokerUnavailable` or `BrokerError`."""
        del busy
        self._news.clear()
        if self._pulling is None or self._pulling.done():
            self._pulling = self._loop.create_task(self._pull(queues))
        await asyncio.shield(self._pulling)  # a message that comes after a cancellation is not lost

    def requeue(self, arrivals: Iterable[Arrival]) -> None:
        """See `Intake.requeue`."""
        back = [arrival for arrival in arrivals if arrival.ours]
        super().requeue(back)
        self._given_back.update((arrival.queue, arrival.rank) for arrival in back)

    async def wait(self, seconds: float) -> None:
        """A moment, longer each time, or until something is put back."""
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        await super().wait(min(seconds, pause))

    async def aclose(self) -> None:
        """See `Intake.aclose`."""
        if self._pulling is not None:
            self._pulling.cancel()
            await asyncio.wait([self._pulling])
        await super().aclose()

    async def _pull(self, queues: Sequence[str]) -> None:
        patience = self._engine.patience()
        while True:
            try:
                return await self._look_into(queues)
            except Refused as error:
                if error.code != NOT_FOUND:
                    raise BrokerError(f"{self._engine.address} refused: {error}") from error
                await asyncio.sleep(patience.pause(error))
                await self._declare(queues)
            except OSError as error:
                await asyncio.sleep(patience.pause(error))

    async def _look_into(self, queues: Sequence[str]) -> None:
        channel = await self._ready()
        self._made += 1
        first = self._made % max(1, len(queues))
        places = [(queue, rank) for rank in range(names.CLASSES) for queue in (*queues[first:], *queues[:first])]
        depths = await asyncio.gather(*[channel.depth(names.ready(*place)) for place in places])
        if None in depths:
            raise Refused(NOT_FOUND, "a queue is missing")
        for place, depth in zip(places, depths, strict=True):
            # What goes back is not counted before the queue has written it down; a question for it waits for that.
            await self._take_from(channel, place, (depth or 0) + self._given_back.pop(place, 0))

    async def _take_from(self, channel: Channel, place: tuple[str, int], depth: int) -> None:
        """Up to *depth* messages, as far as they are asked for and all together have about one mebibyte."""
        queue, rank = place
        while depth > 0 and (room := self._room()) > 0:
            asked = [channel.fetch(names.ready(queue, rank)) for _ in range(min(room, depth, AT_ONCE))]
            found = [message for message in await asyncio.gather(*asked) if message is not None]
            self._waiting.setdefault(place, deque()).extend(Arrival(queue, rank, each, channel) for each in found)
            depth = depth - len(found) if len(found) == len(asked) else 0
            if found:
                self._pause = FIRST_PAUSE_SECONDS
                self._look_later()

    def _room(self) -> int:
        here = [arrival for waiting in self._waiting.values() for arrival in waiting]
        if sum(len(arrival.message.body) for arrival in here) >= MAX_BYTES:
            return 0
        return min(self._asking, self._most) - len(here)
