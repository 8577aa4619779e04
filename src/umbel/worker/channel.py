"""Framed messages over a Unix socket pair: four bytes of length, then one `Message` as MessagePack.

Both ends are ours, but a child runs user code in the same memory: every frame has a limit, every write a deadline.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.worker.messages import Message

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
READ_BYTES: Final = 64 * 1024
WRITE_SECONDS: Final = 1.0
MAX_FDS: Final = 2
_LENGTH: Final = struct.Struct("<I")

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


class ChannelClosed(Exception):
    """The other end is gone, is stuck or does not speak our language; the channel is of no more use."""


def frame(message: Message) -> bytes:
    """*message* as it travels. Raises `ChannelClosed` above `MAX_FRAME_BYTES`."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise ChannelClosed(f"a message of {len(body):,} bytes is too long")
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a stream of bytes into messages; does no I/O."""

    def __init__(self) -> None:
        """Start at a boundary between two frames."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that *data* completes. Raises `ChannelClosed` for a frame that is too long or no message."""
        self._buffer += data
        messages: list[Message] = []
        while (end := self._end()) is not None:
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                messages.append(_decoder.decode(body))
            except (msgspec.MsgspecError, RecursionError) as error:
                raise ChannelClosed(f"not a message: {error}") from error
        return messages

    def _end(self) -> int | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        length: int = _LENGTH.unpack_from(self._buffer)[0]
        if length > MAX_FRAME_BYTES:
            raise ChannelClosed(f"a frame of {length:,} bytes is too long")
        end = _LENGTH.size + length
        return end if len(self._buffer) >= end else None


class Channel:
    """One end of a socket pair inside an event loop: for the supervisor and for a child."""

    def __init__(self, end: socket.socket) -> None:
        """Take over the socket *end*."""
        end.setblocking(False)
        self._socket = end
        self._frames = Frames()
        self._turn = asyncio.Lock()
        self._arrived: deque[Message] = deque()

    async def receive(self) -> Message | None:
        """The next message; None when the other end is gone. Raises `ChannelClosed` for what is no message."""
        loop = asyncio.get_running_loop()
        while not self._arrived:
            try:
                data = await loop.sock_recv(self._socket, READ_BYTES)
            except OSError:
                return None
            if not data:
                return None
            self._arrived.extend(self._frames.feed(data))
        return self._arrived.popleft()

    async def send(self, message: Message, deadline: float = WRITE_SECONDS) -> None:
        """Write *message* within *deadline* seconds. Raises `ChannelClosed`: a reader that is stuck is given up."""
        data = frame(message)
        try:
            async with asyncio.timeout(deadline), self._turn:
                await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError as error:  # a TimeoutError is one, too
            raise ChannelClosed(f"the other end does not read: {error!r}") from error

    def send_with_fds(self, message: Message, fds: Sequence[int]) -> None:
        """Write *message* with open files beside it, at once. Raises `ChannelClosed` when the other end is stuck."""
        data = frame(message)
        try:
            sent = socket.send_fds(self._socket, [data], fds)
        except OSError as error:
            raise ChannelClosed(f"the other end does not read: {error!r}") from error
        if sent != len(data):
            raise ChannelClosed("the other end does not read")

    def close(self) -> None:
        """Close this end; the other one reads end of file."""
        self._socket.close()


class BlockingChannel:
    """One end of a socket pair without an event loop, that is handed open files: for the forkserver."""

    def __init__(self, end: socket.socket) -> None:
        """Take over the socket *end*."""
        end.setblocking(True)
        self._socket = end
        self._frames = Frames()
        self._fds: deque[int] = deque()

    def fileno(self) -> int:
        """The descriptor, for poll."""
        return self._socket.fileno()

    def read(self) -> list[Message] | None:
        """The messages that one read completes, perhaps none; None when the other end is gone."""
        data, fds, _, _ = socket.recv_fds(self._socket, READ_BYTES, MAX_FDS)
        self._fds.extend(fds)
        if not data:
            return None
        return self._frames.feed(data)

    def take_fds(self, count: int) -> list[int]:
        """The next *count* open files that came beside messages, in their order."""
        return [self._fds.popleft() for _ in range(count)]

    def send(self, message: Message) -> None:
        """Write *message*. Raises OSError when the other end is gone."""
        self._socket.sendall(frame(message))

    def close(self) -> None:
        """Close this end and the open files that nobody took."""
        self._socket.close()
        while self._fds:
            os.close(self._fds.popleft())
