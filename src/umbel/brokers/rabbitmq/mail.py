"""Mail: publishes letters where they find a queue; declares what is missing on the way."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from umbel.brokers.rabbitmq import names, posts
from umbel.brokers.rabbitmq.posts import Post
from umbel.brokers.rabbitmq.topology import Topology
from umbel.engines.amqp import Engine, Unroutable
from umbel.engines.amqp_channel import Channel
from umbel.engines.amqp_frames import Message
from umbel.engines.amqp_letter import Letter, copied


class Mail:
    """What publishes for one broker, from any event loop."""

    def __init__(self, engine: Engine) -> None:
        self.topology = Topology(engine)
        self._engine = engine

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ is known to let nobody publish."""
        return self._engine.blocked

    async def deliver(self, letters: Sequence[Letter], sent: Sequence[Post]) -> None:
        """Publish *letters*, made of the posts *sent*, and wait until they are safe. Raises as `Engine.publish`.

        A queue is declared when it turns out to be missing; before that for a delay, as nobody tells of a queue that is
        missing when the delay is over.
        """
        seconds = posts.delays(sent)
        for each in seconds:
            await self.topology.ladder(each)
        if seconds:
            await self._queues(sent)
        try:
            await self._engine.publish(letters)
        except Unroutable as error:
            self.topology.forget()
            await self._queues(sent)
            for each in seconds:
                await self.topology.ladder(each)
            await self._engine.publish(error.letters)

    async def unpark(self, queue: str, tasks: Collection[str]) -> int:
        """Publish anew what is parked under *tasks*; the rest goes back."""
        name = names.parked(queue)
        moved = 0
        others: list[int] = []
        async with self._engine.channel() as channel:
            if await channel.depth(name) is None:
                return 0
            while (message := await channel.fetch(name)) is not None:  # the depth may lag behind
                if message.properties.correlation in tasks:
                    await self._ready(queue, message, channel)
                    moved += 1
                else:
                    others.append(message.tag)
            channel.requeue(others)
        return moved

    async def _ready(self, queue: str, message: Message, channel: Channel) -> None:
        rank = names.class_of(posts.level_of(message))
        properties = msgspec.structs.replace(message.properties, correlation="")
        await self._engine.publish([copied(Letter(names.route(queue, rank, 0), properties, message.body))])
        channel.acknowledge([message.tag])

    async def _queues(self, sent: Sequence[Post]) -> None:
        for queue in {post.queue for post in sent}:
            await self.topology.queue(queue)
