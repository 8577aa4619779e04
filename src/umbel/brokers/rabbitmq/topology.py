"""What must be there before a message finds its way: declared once a process, and again when something is missing."""

from __future__ import annotations

import logging
from typing import Final

from umbel.brokers.rabbitmq import arguments, names
from umbel.engines.amqp import Engine
from umbel.engines.amqp_channel import Arguments, Refused
from umbel.engines.amqp_health import POLICY
from umbel.exceptions import BrokerError

_NOT_PERMITTED: Final = 403

_logger = logging.getLogger("umbel.broker")


class Topology:
    """What this process knows to be declared."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queues: set[str] = set()
        self._rungs: set[int] = set()

    def forget(self) -> None:
        """Something was missing: look at everything anew."""
        self._queues.clear()
        self._rungs.clear()

    async def queue(self, queue: str) -> None:
        """See to it that *queue* can take jobs. Raises `BrokerError`; the server's text names what differs."""
        if queue in self._queues:
            return
        async with self._engine.channel() as channel:
            await channel.exchanges([names.READY])
            wanted = arguments.keeping(channel.version)
        mine = [names.ready(queue, rank) for rank in range(names.CLASSES)]
        for name in (*mine, names.parked(queue), names.dead(queue)):
            await self._declare(name, wanted)
        async with self._engine.channel() as channel:
            for rank, name in enumerate(mine):
                await channel.bind_queue(name, names.READY, names.down(queue, rank))
        self._queues.add(queue)

    async def ladder(self, seconds: int) -> None:
        """See to it that a message can wait for *seconds*."""
        missing = [rung for rung in names.rungs(seconds) if rung not in self._rungs]
        if not missing:
            return
        if not self._rungs:
            async with self._engine.channel() as channel:
                await channel.exchanges([names.delay(rung) for rung in range(-1, names.RUNGS)])
                await channel.bind(names.links())
        for rung in missing:
            await self._declare(names.waiting(rung), arguments.waiting(rung))
            async with self._engine.channel() as channel:
                await channel.bind_queue(names.waiting(rung), names.delay(rung), names.onto(rung))
            self._rungs.add(rung)

    async def _declare(self, name: str, wanted: Arguments) -> None:
        left: Arguments | None = wanted
        while left is not None:
            async with self._engine.channel() as channel:
                try:
                    await channel.queue(name, left)
                    return
                except Refused as error:
                    if error.code == _NOT_PERMITTED:
                        break
                    left = arguments.as_before(left, str(error))
                    if left is None:
                        raise
                    self._warn(name, wanted, left)
        await self._find(name)

    async def _find(self, name: str) -> None:
        """An administrator may have declared it for us."""
        async with self._engine.channel() as channel:
            if await channel.depth(name) is None:
                raise BrokerError(f"{self._engine.address}: there is no queue {name}, and no right to declare it")

    def _warn(self, name: str, wanted: Arguments, earlier: Arguments) -> None:
        if arguments.DELIVERY_LIMIT in wanted and arguments.DELIVERY_LIMIT not in earlier:
            _logger.warning(
                "%s: the queue %s was made before RabbitMQ 4.0 and drops a job that came back 20 times, unless: %s",
                self._engine.address, name, POLICY,
            )  # fmt: skip
