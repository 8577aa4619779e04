"""A connection of an event loop to Redis. Commands of all tasks share it, in order; a task that left is skipped."""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

from hiredis import ProtocolError, PushNotification

from umbel.engines.redis_address import Address
from umbel.engines.redis_connection import NO_REPLY, Welcome, greeting, pack, reader, tune, welcome
from umbel.engines.tls import trusting

_GRACE_SECONDS: Final = 1.0


class _Pending:
    """The replies that one exchange waits for."""

    __slots__ = ("answer", "count", "due", "replies")

    def __init__(self, answer: asyncio.Future[list[Any]], count: int, due: float) -> None:
        self.answer = answer
        self.count = count
        self.due = due
        self.replies: list[Any] = []


class Stream(asyncio.Protocol):
    """One line to the server. Futures that it gives end with `OSError` when the line is lost."""

    def __init__(self, address: Address) -> None:
        self.server = Welcome()
        self.lost: BaseException | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._timeout = address.timeout
        self._reader = reader()
        self._pending: deque[_Pending] = deque()
        self._watchdog: asyncio.TimerHandle | None = None
        self._look_at = math.inf
        self._listeners: dict[bytes, set[asyncio.Future[bytes]]] = {}
        self._unsent: list[bytes] = []

    def exchange(self, packed: Sequence[bytes], count: int, seconds: float | None = None) -> asyncio.Future[list[Any]]:
        """Send commands; the future has their *count* replies, a refusal as a `ReplyError`.

        A reply that takes longer than *seconds* (None: the address's timeout) ends the line. Cancelling the future
        leaves the line in order: the replies are read and dropped.
        """
        answer: asyncio.Future[list[Any]] = self._loop.create_future()
        if self.lost is not None:
            answer.set_exception(ConnectionResetError(str(self.lost)))
            return answer
        due = self._loop.time() + (self._timeout if seconds is None else seconds)
        self._pending.append(_Pending(answer, count, due))
        if due < self._look_at:
            self._watch(due)
        self._transport.writelines([*self._unsent, *packed])
        self._unsent.clear()
        return answer

    def listen(self, channel: bytes) -> asyncio.Future[bytes]:
        """A future for the next message on *channel*, from the next `exchange` on. Give it back by `leave`."""
        message: asyncio.Future[bytes] = self._loop.create_future()
        if self.lost is not None:
            message.set_exception(ConnectionResetError(str(self.lost)))
            return message
        listeners = self._listeners.setdefault(channel, set())
        if not listeners:
            self._unsent.append(pack(("SUBSCRIBE", channel)))
        listeners.add(message)
        return message

    def leave(self, channel: bytes, message: asyncio.Future[bytes]) -> None:
        """Listen no more for *message*; the server hears of it with the next `exchange`."""
        if message.done() and not message.cancelled():
            message.exception()  # seen: a listener that has left wants no warning
        message.cancel()
        listeners = self._listeners.get(channel)
        if listeners is None:
            return
        listeners.discard(message)
        if not listeners:
            del self._listeners[channel]
            self._unsent.append(pack(("UNSUBSCRIBE", channel)))

    def close(self) -> None:
        """Let go of the line; what is pending ends with `OSError`."""
        self._lose(ConnectionAbortedError("the connection was closed"))
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what the loop made for us."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand out the replies in *data*."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not NO_REPLY:
                if type(reply) is PushNotification:
                    self._pushed(reply)
                else:
                    self._replied(reply)
        except (ProtocolError, IndexError) as error:
            self._lose(ConnectionError(f"not the protocol of Redis: {error}"))
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End everything that waits."""
        self._lose(exc or ConnectionResetError("the server closed the connection"))
        if not self.closed.done():
            self.closed.set_result(None)

    def _replied(self, reply: Any) -> None:
        pending = self._pending[0]
        pending.replies.append(reply)
        if len(pending.replies) == pending.count:
            self._pending.popleft()
            if not pending.answer.done():
                pending.answer.set_result(pending.replies)

    def _pushed(self, push: Any) -> None:
        if push[0] == b"message":
            for message in self._listeners.get(push[1], ()):
                if not message.done():
                    message.set_result(push[2])

    def _look(self, late: _Pending | None) -> None:
        """End a line that does not answer; once more after a pause, because the loop may have been the slow one."""
        self._watchdog, self._look_at = None, math.inf
        if not self._pending:
            return
        first = self._pending[0]
        now = self._loop.time()
        if first.due > now:
            self._watch(first.due)
        elif first is late:
            self._lose(TimeoutError("no answer in time"))
            self._transport.abort()
        else:
            self._watchdog = self._loop.call_at(now + _GRACE_SECONDS, self._look, first)
            self._look_at = -math.inf  # not before that

    def _watch(self, due: float) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog, self._look_at = self._loop.call_at(due, self._look, None), due

    def _lose(self, error: BaseException) -> None:
        self.lost = self.lost or error
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        for pending in self._pending:
            if not pending.answer.done():
                pending.answer.set_exception(ConnectionResetError(str(self.lost)))
        self._pending.clear()
        for listeners in self._listeners.values():
            for message in listeners:
                if not message.done():
                    message.set_exception(ConnectionResetError(str(self.lost)))
        self._listeners.clear()


async def connect(address: Address, timeout: float) -> Stream:
    """Connect and log in within *timeout* seconds. Raises `OSError`, or `BrokerError` if the server refuses us."""
    async with asyncio.timeout(timeout):
        with trusting(address):
            transport, stream = await _connect(address)
            try:
                words = greeting(address)
                replies = await stream.exchange([pack(line) for line in words], len(words))
                stream.server = welcome(replies, address)
            except BaseException:
                transport.abort()
                if isinstance(stream.lost, ssl.SSLError):
                    raise stream.lost from None
                raise
    return stream


async def _connect(address: Address) -> tuple[asyncio.Transport, Stream]:
    loop = asyncio.get_running_loop()
    if address.path:
        return await loop.create_unix_connection(lambda: Stream(address), address.path)
    context = address.security.context() if address.security is not None else None
    transport, stream = await loop.create_connection(lambda: Stream(address), address.host, address.port, ssl=context)
    with contextlib.suppress(OSError):
        tune(transport.get_extra_info("socket"), address)
    return transport, stream
