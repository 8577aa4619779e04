"""One channel of a connection to RabbitMQ: questions and their answers in order, and messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from pamqp import commands, frame
from pamqp.base import Frame

from umbel.engines import amqp_frames as frames
from umbel.engines.amqp_frames import Message
from umbel.engines.amqp_tags import Tags
from umbel.exceptions import BrokerError

NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406

Arguments = Mapping[str, str | int]


class Refused(BrokerError):
    """The server closed the channel because of what was asked; *code* is AMQP's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Wire(Protocol):
    """What a channel needs of its connection."""

    frame_max: int
    version: tuple[int, ...]
    lost: OSError | None

    def write(self, data: bytes) -> None:
        """Send frames."""

    def forget(self, channel: Channel) -> None:
        """The channel is closed."""


class Channel:
    """A channel. Questions may be asked together; their answers come in order, each within *patience* seconds if set.

    The functions *delivered*, *confirmed* (tag, multiple, accepted), *unroutable* (the id of a message that no queue
    took; its confirmation follows), *cancelled* (a consumer) and *failed* are called by the event loop.
    """

    def __init__(self, wire: Wire, number: int) -> None:
        self.number = number
        self.lost: Exception | None = None
        self.delivered: Callable[[Message], None] = _ignore
        self.confirmed: Callable[[int, bool, bool], None] = _ignore
        self.unroutable: Callable[[str], None] = _ignore
        self.cancelled: Callable[[str], None] = _ignore
        self.failed: Callable[[Exception], None] = _ignore
        self.patience: float | None = None
        self._wire = wire
        self._tags = Tags()
        self._answers: deque[asyncio.Future[Any]] = deque()
        self._message: Message | None = None
        self._returned = False
        self._size = 0
        self._body: list[bytes] = []

    @property
    def version(self) -> tuple[int, ...]:
        """The server's."""
        return self._wire.version

    # --- asking

    async def ask(self, method: Frame) -> Any:
        """The answer to *method*. Raises `OSError`, or `Refused`, after which the channel is closed."""
        self.write(frame.marshal(method, self.number))
        async with asyncio.timeout(self.patience):
            return await self.wait()

    def wait(self) -> asyncio.Future[Any]:
        """The next answer that nobody else waits for. Its place in line is taken now, not when it is awaited."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lost is not None:
            answer.set_exception(self.lost)
        else:
            self._answers.append(answer)
        return answer

    def write(self, data: bytes) -> None:
        """Send frames. Raises `OSError` or `Refused` if the channel is lost."""
        if self.lost is not None:
            raise self.lost
        self._wire.write(data)

    def acknowledge(self, tags: Collection[int]) -> None:
        """The server can forget the messages *tags*: it has less to do if they are told together. Raises as `write`."""
        first, others = self._tags.answer(tags)
        told = [frames.ack(self.number, first[-1], multiple=len(first) > 1)] if first else []
        self.write(b"".join([*told, *(frames.ack(self.number, tag) for tag in others)]))

    def requeue(self, tags: Collection[int]) -> None:
        """Give the messages *tags* back to the front of their queues. Raises as `write`."""
        self._tags.answer(tags)
        self.write(b"".join(frames.requeue(self.number, tag) for tag in tags))

    async def ask_all(self, methods: Sequence[Frame]) -> list[Any]:
        """The answers to *methods*, which are sent together."""
        if not methods:
            return []
        self.write(b"".join(frame.marshal(method, self.number) for method in methods))
        return await asyncio.gather(*[self.wait() for _ in methods])

    async def confirm(self) -> None:
        """Have the server confirm what is published here."""
        await self.ask(commands.Confirm.Select())

    async def consume(self, queues: Mapping[str, str], prefetch: int) -> None:
        """Consume from *queues*, by consumer tag; up to *prefetch* unacknowledged messages from each of them."""
        methods: list[Frame] = [commands.Basic.Qos(prefetch_count=prefetch)]
        methods += [commands.Basic.Consume(queue=queue, consumer_tag=tag) for tag, queue in queues.items()]
        await self.ask_all(methods)

    async def cancel(self, tags: Sequence[str]) -> None:
        """Consume under *tags* no longer."""
        await self.ask_all([commands.Basic.Cancel(consumer_tag=tag) for tag in tags])

    async def fetch(self, queue: str) -> Message | None:
        """One message from *queue*, or None."""
        answer: Message | None = await self.ask(commands.Basic.Get(queue=queue))
        return answer

    async def depth(self, queue: str) -> int | None:
        """How many messages of *queue* are ready; None if there is no such queue, and the channel is closed then."""
        try:
            answer = await self.ask(commands.Queue.Declare(queue=queue, passive=True))
        except Refused as error:
            if error.code == NOT_FOUND:
                return None
            raise
        return int(answer.message_count)

    async def queue(self, name: str, arguments: Arguments) -> None:
        """Have a durable queue."""
        await self.ask(commands.Queue.Declare(queue=name, durable=True, arguments=dict(arguments)))

    async def exchanges(self, names: Sequence[str]) -> None:
        """Have durable topic exchanges."""
        await self.ask_all(
            [commands.Exchange.Declare(exchange=name, exchange_type="topic", durable=True) for name in names]
        )

    async def bind(self, links: Sequence[tuple[str, str, str]]) -> None:
        """Have the exchanges of *links* (source, destination, pattern) pass on to other exchanges."""
        await self.ask_all(
            [
                commands.Exchange.Bind(destination=destination, source=source, routing_key=pattern)
                for source, destination, pattern in links
            ]
        )

    async def bind_queue(self, queue: str, exchange: str, pattern: str) -> None:
        """Have *exchange* pass what matches *pattern* to *queue*."""
        await self.ask(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=pattern))

    async def close(self) -> None:
        """Close it."""
        if self.lost is None:
            await self.ask(commands.Channel.Close(200, "", 0, 0))
            self.fail(ConnectionAbortedError("closed"))

    def leave(self) -> None:
        """Close it without waiting for the server, which may be long in answering. Raises nothing."""
        if self.lost is None:
            with contextlib.suppress(OSError):
                self.write(frame.marshal(commands.Channel.Close(200, "", 0, 0), self.number))
                self.wait().add_done_callback(self._left)

    # --- what comes in

    def take(self, kind: int, payload: bytes) -> None:
        """A frame for this channel."""
        if kind == frames.METHOD:
            self._method(payload)
        elif kind == frames.HEADER:
            self._size, properties = frames.header(payload)
            if self._message is not None:
                self._message.properties = properties
            self._body = []
            if not self._size:
                self._complete()
        else:
            self._body.append(payload)
            self._size -= len(payload)
            if self._size <= 0:
                self._complete()

    def answered(self, answer: Any) -> None:
        """*answer* is what was asked first and is not answered yet."""
        while self._answers:
            waiting = self._answers.popleft()
            if not waiting.done():
                waiting.set_result(answer)
                return
            if waiting.cancelled():  # nobody waits for this one any more, but it was asked all the same
                return

    def fail(self, error: Exception) -> None:
        """It is over, because of *error*."""
        if self.lost is not None:
            return
        self.lost = error
        self._wire.forget(self)
        while self._answers:
            waiting = self._answers.popleft()
            if not waiting.done():
                waiting.set_exception(error)
        self.failed(error)

    def _left(self, answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self.fail(ConnectionAbortedError("closed"))

    def _method(self, payload: bytes) -> None:
        kind = (payload[1], payload[3])
        if kind == frames.DELIVER:
            self._message, self._returned = frames.delivery(payload), False
        elif kind in (frames.ACK, frames.NACK):
            self.confirmed(*frames.acknowledged(payload), kind == frames.ACK)
        elif kind == frames.GET_OK:
            self._message, self._returned = frames.fetched(payload), False
        elif kind == frames.RETURN:
            self._message, self._returned = Message("", 0, redelivered=False), True
        else:
            self._rare(payload)

    def _rare(self, payload: bytes) -> None:
        method: Any = frame.unmarshal(frames.frame(frames.METHOD, self.number, payload))[2]
        match method:
            case commands.Channel.Close():
                self.write(frame.marshal(commands.Channel.CloseOk(), self.number))
                self.fail(Refused(method.reply_code or 0, str(method.reply_text)))
            case commands.Basic.Cancel():
                self.cancelled(str(method.consumer_tag))
            case commands.Basic.GetEmpty():
                self.answered(None)
            case _:
                self.answered(method)

    def _complete(self) -> None:
        message, self._message = self._message, None
        if message is None:
            return
        message.body = b"".join(self._body)
        if not self._returned:
            self._tags.came(message.tag)
        if self._returned:
            self.unroutable(message.properties.id)
        elif message.consumer:
            self.delivered(message)
        else:
            self.answered(message)


def _ignore(*_: object) -> None:
    """Nobody is interested."""
