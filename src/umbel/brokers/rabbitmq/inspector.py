"""What RabbitMQ can tell of its queues: how many messages no consumer has."""

from __future__ import annotations

from collections.abc import Sequence

from umbel.brokers.rabbitmq import names
from umbel.contracts.powers import QueueCounts
from umbel.engines.amqp import Engine


async def counts(engine: Engine, queues: Sequence[str], running: Sequence[int]) -> list[QueueCounts]:
    """The numbers of each of *queues*, *running* beside them; delayed ones are not told apart by queue."""
    delayed = await _depth(engine, [names.waiting(rung) for rung in range(names.RUNGS)]) if queues else 0
    return [
        QueueCounts(
            queue,
            ready=await _depth(engine, [names.ready(queue, rank) for rank in range(names.CLASSES)]),
            delayed=delayed,
            running=leased,
            parked=await _depth(engine, [names.parked(queue)]),
            dead=await _depth(engine, [names.dead(queue)]),
        )
        for queue, leased in zip(queues, running, strict=True)
    ]


async def _depth(engine: Engine, queues: Sequence[str]) -> int:
    depth = 0
    for queue in queues:
        async with engine.channel() as channel:  # one each: asking for what is not there closes a channel
            depth += await channel.depth(queue) or 0
    return depth
