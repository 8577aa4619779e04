"""What must be there before a message finds its way: declared once a process, and again when something is missing."""

from __future__ import annotations

from typing import Final

from umbel.brokers.rabbitmq import names
from umbel.engines.amqp import Engine
from umbel.engines.amqp_channel import Arguments, Channel, Refused
from umbel.exceptions import BrokerError

_NOT_PERMITTED: Final = 403
_FIRST_WITH_LIMIT: Final = (4,)
_QUORUM: Final[dict[str, str | int]] = {"x-queue-type": "quorum"}


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
            arguments = _keeping(channel.version)
        mine = [names.ready(queue, rank) for rank in range(names.CLASSES)]
        for name in (*mine, names.parked(queue), names.dead(queue)):
            await self._declare(name, arguments)
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
            await self._declare(names.waiting(rung), _waiting(rung))
            async with self._engine.channel() as channel:
                await channel.bind_queue(names.waiting(rung), names.delay(rung), names.onto(rung))
            self._rungs.add(rung)

    async def _declare(self, name: str, arguments: Arguments) -> None:
        async with self._engine.channel() as channel:
            if await _permitted(channel, name, arguments):
                return
        async with self._engine.channel() as channel:  # an administrator may have declared it for us
            if await channel.depth(name) is None:
                raise BrokerError(f"{self._engine.address}: there is no queue {name}, and no right to declare it")


async def _permitted(channel: Channel, name: str, arguments: Arguments) -> bool:
    try:
        await channel.queue(name, arguments)
    except Refused as error:
        if error.code != _NOT_PERMITTED:
            raise
        return False
    return True


def _keeping(version: tuple[int, ...]) -> Arguments:
    """From 4.0 on a quorum queue drops what came back 20 times, unless told otherwise; before, it knows no -1."""
    return {**_QUORUM, "x-delivery-limit": -1} if version >= _FIRST_WITH_LIMIT else _QUORUM


def _waiting(rung: int) -> Arguments:
    """With at-least-once a message leaves its rung only when the next one has it; that needs reject-publish."""
    return {
        **_QUORUM,
        "x-message-ttl": 2**rung * 1000,
        "x-dead-letter-exchange": names.delay(rung - 1),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
