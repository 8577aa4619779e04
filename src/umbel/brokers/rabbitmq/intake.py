"""Intake: consumes while somebody wants jobs, and keeps what has arrived until it is taken, the most urgent first.

RabbitMQ pushes. What was pushed to a child that is busy would wait there although others are idle; so when nobody has
asked for a moment, consuming ends and what nobody took goes back to the front of its queue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Final

import msgspec

from umbel.brokers.rabbitmq import names
from umbel.brokers.rabbitmq.topology import Topology
from umbel.engines.amqp import Engine
from umbel.engines.amqp_channel import NOT_FOUND, PRECONDITION_FAILED, Channel, Refused
from umbel.engines.amqp_connection import Connection
from umbel.engines.amqp_frames import Message
from umbel.exceptions import BrokerError

IDLE_SECONDS: Final = 0.05
FIRST_SECONDS: Final = 0.01
"""After consuming has begun, so long for urgent messages to come before others are taken."""
MAX_BYTES: Final = 1024 * 1024
MAX_PREFETCH: Final = 1024
_EXACT_PREFETCH: Final = 8


class Arrival(msgspec.Struct, gc=False, eq=False):
    """A message that is here, unacknowledged, until *channel* is lost. Its job was held elsewhere *looks* times."""

    queue: str
    rank: int
    message: Message
    channel: Channel
    looks: int = 0

    @property
    def ours(self) -> bool:
        """Whether it can still be acknowledged."""
        return self.channel.lost is None


class Intake:
    """The consumers of one event loop, on a connection of their own."""

    def __init__(self, engine: Engine, topology: Topology) -> None:
        self.gives_back: Callable[[Sequence[Arrival]], None] = self.requeue
        """How what nobody took goes back."""
        self._engine = engine
        self._topology = topology
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._consumers: dict[str, tuple[str, int]] = {}
        self._queues: frozenset[str] = frozenset()
        self._prefetch = 0
        self._made = 0
        self._waiting: dict[tuple[str, int], deque[Arrival]] = {}
        self._news = asyncio.Event()
        self._asking = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def asking(self, limit: int) -> Generator[None]:
        """Somebody wants up to *limit* jobs, as long as the `with` block lasts."""
        self._asking += limit
        try:
            yield
        finally:
            self._asking -= limit
            self._look_later()

    async def consume(self, queues: Sequence[str], busy: int) -> None:
        """Have as many messages under way as are asked for, beside *busy* that are being worked on.

        What has arrived of other queues than *queues* goes back. Raises `BrokerUnavailable` or `BrokerError`.
        """
        self._news.clear()
        prefetch = _prefetch(busy + self._asking)
        async with self._turn:
            if self._suits(frozenset(queues), prefetch):
                return
            patience = self._engine.patience()
            while True:
                try:
                    await self._begun(queues, prefetch)
                except Refused as error:
                    if error.code not in (NOT_FOUND, PRECONDITION_FAILED):  # gone, or acknowledged too late
                        raise BrokerError(f"{self._engine.address} refused: {error}") from error
                    await asyncio.sleep(patience.pause(error))
                    await self._declare(queues)
                except OSError as error:
                    await asyncio.sleep(patience.pause(error))
                else:
                    break
            await asyncio.sleep(FIRST_SECONDS)

    async def wait(self, seconds: float) -> None:
        """Until something arrives or the line is lost, since `consume` was called last; at most *seconds*."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def take(self, queues: Sequence[str], limit: int) -> list[Arrival]:
        """Up to *limit* messages and about one mebibyte, the most urgent first, of each of *queues* in turn."""
        taken: list[Arrival] = []
        size = 0
        for rank in range(names.CLASSES):
            waiting = [found for queue in queues if (found := self._waiting.get((queue, rank)))]
            while waiting:
                for found in list(waiting):
                    if len(taken) >= limit or size >= MAX_BYTES:
                        return taken
                    taken.append(found.popleft())
                    size += len(taken[-1].message.body)
                    if not found:
                        waiting.remove(found)
        return taken

    def put_back(self, arrivals: Sequence[Arrival]) -> None:
        """Have *arrivals* taken again, before all others of their class."""
        for arrival in reversed(arrivals):
            if arrival.ours:
                self._waiting.setdefault((arrival.queue, arrival.rank), deque()).appendleft(arrival)
        self._news.set()
        self._look_later()

    def acknowledge(self, arrivals: Iterable[Arrival]) -> None:
        """RabbitMQ can forget them; those of a lost channel it will hand out once more."""
        self._tell(arrivals, Channel.acknowledge)

    def requeue(self, arrivals: Iterable[Arrival]) -> None:
        """Give them back to the front of their queues."""
        self._tell(arrivals, Channel.requeue)

    async def rest(self) -> None:
        """Stop consuming, unless somebody wants jobs, and give back what has arrived."""
        channel = self._channel
        if channel is not None and channel.lost is None:
            await self._stop(channel)

    async def aclose(self) -> None:
        """Give everything back that was not settled."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stopping is not None:
            await asyncio.wait([self._stopping])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    # --- consuming

    async def _declare(self, queues: Sequence[str]) -> None:
        """Somebody has deleted a queue that workers serve."""
        self._topology.forget()
        for queue in queues:
            await self._topology.queue(queue)

    def _suits(self, queues: frozenset[str], prefetch: int) -> bool:
        if self._channel is None or self._channel.lost is not None:
            return False
        if queues and not self._consumers:
            return False
        return queues == self._queues and prefetch <= self._prefetch <= 4 * prefetch

    async def _begun(self, queues: Sequence[str], prefetch: int) -> None:
        """Consume; broken off, whoever else waits shall begin anew."""
        try:
            await self._begin(queues, prefetch)
        except BaseException:
            self._news.set()
            raise

    async def _begin(self, queues: Sequence[str], prefetch: int) -> None:
        channel = await self._ready()
        await self._end(channel)
        if frozenset(queues) != self._queues:
            self._give_back(channel)
        self._queues = frozenset(queues)
        self._made += 1
        places = [(queue, rank) for rank in range(names.CLASSES) for queue in queues]
        self._consumers = {f"{self._made}.{place}": each for place, each in enumerate(places)}
        await channel.consume({tag: names.ready(*place) for tag, place in self._consumers.items()}, prefetch)
        self._prefetch = prefetch

    async def _end(self, channel: Channel) -> None:
        """Cancel the consumers; what has arrived stays. Broken off in the middle, it is done again before consuming."""
        self._prefetch = 0
        await channel.cancel(list(self._consumers))
        self._consumers = {}

    async def _ready(self) -> Channel:
        if self._connection is None or self._connection.lost is not None:
            self._connection = await self._engine.connect(self._engine.patience())
            self._channel = None
        if self._channel is None or self._channel.lost is not None:
            channel = await self._connection.open_channel()
            channel.delivered, channel.cancelled, channel.failed = self._delivered, self._cancelled, self._failed
            self._channel, self._consumers, self._prefetch = channel, {}, 0
        return self._channel

    def _delivered(self, message: Message) -> None:
        place, channel = self._consumers.get(message.consumer), self._channel
        if channel is None:
            return
        if place is None:  # pushed before the cancellation arrived there
            channel.requeue([message.tag])
            return
        self._waiting.setdefault(place, deque()).append(Arrival(*place, message, channel))
        self._news.set()
        self._look_later()

    def _cancelled(self, consumer: str) -> None:
        """Its queue was deleted, or moved: begin anew."""
        del consumer
        self._queues = frozenset()
        self._news.set()

    def _failed(self, error: Exception) -> None:
        del error
        self._waiting.clear()
        self._consumers = {}
        self._news.set()

    # --- giving back

    def _look_later(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._loop.call_later(IDLE_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        channel = self._channel
        if self._asking or channel is None or channel.lost is not None or not any(self._waiting.values()):
            return
        if self._stopping is None or self._stopping.done():
            self._stopping = self._loop.create_task(self._stop(channel))

    async def _stop(self, channel: Channel) -> None:
        async with self._turn:
            if self._asking:
                return
            with contextlib.suppress(OSError, Refused):
                await self._end(channel)
                self._give_back(channel)

    def _give_back(self, channel: Channel) -> None:
        arrivals = [arrival for waiting in self._waiting.values() for arrival in waiting if arrival.channel is channel]
        self._waiting.clear()
        self.gives_back(arrivals)

    def _tell(self, arrivals: Iterable[Arrival], say: Callable[[Channel, list[int]], None]) -> None:
        tags: dict[Channel, list[int]] = {}
        for arrival in arrivals:
            if arrival.ours:
                tags.setdefault(arrival.channel, []).append(arrival.message.tag)
        for channel, mine in tags.items():
            with contextlib.suppress(OSError):
                say(channel, mine)


def _prefetch(wanted: int) -> int:
    """A little more than *wanted*, so that it need not be changed with each job."""
    if wanted <= _EXACT_PREFETCH:
        return max(1, wanted)
    return min(MAX_PREFETCH, 1 << (wanted - 1).bit_length())
