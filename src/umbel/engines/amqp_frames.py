"""AMQP 0-9-1 as bytes, where speed counts: deliveries in, publishes and acknowledgements out. pamqp does the rest."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
FRAME_END: Final = 0xCE
BASIC: Final = 60
DELIVER: Final = (BASIC, 60)
GET_OK: Final = (BASIC, 71)
RETURN: Final = (BASIC, 50)
ACK: Final = (BASIC, 80)
NACK: Final = (BASIC, 120)
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

_FRAME: Final = struct.Struct(">BHI")
_CONTENT: Final = struct.Struct(">HHQH")
_ACK: Final = struct.Struct(">BHIHHQBB")
_PERSISTENT: Final = 2
_HAS_CONTENT_TYPE, _HAS_ENCODING, _HAS_HEADERS, _HAS_MODE, _HAS_PRIORITY = (1 << bit for bit in (15, 14, 13, 12, 11))
_HAS_CORRELATION, _HAS_REPLY_TO, _HAS_EXPIRATION, _HAS_ID, _HAS_TIMESTAMP = (1 << bit for bit in (10, 9, 8, 7, 6))
_HAS_TYPE: Final = 1 << 5
_DELIVERY_COUNT: Final = b"\x10x-delivery-count"
_INTEGERS: Final = {b"b": 1, b"s": 2, b"I": 4, b"l": 8}
"""The types that RabbitMQ gives to whole numbers, and their sizes."""
_OURS: Final = _HAS_MODE | _HAS_PRIORITY | _HAS_CORRELATION | _HAS_ID | _HAS_TYPE


class Properties(msgspec.Struct, frozen=True, gc=False):
    """What Umbel reads and writes of a message's properties; always persistent. Texts have at most 255 bytes.

    *deliveries* is only read: how often a quorum queue handed the message out before, as it came back each time.
    """

    id: str = ""
    type: str = ""
    correlation: str = ""
    priority: int = 0
    deliveries: int = 0


class Message(msgspec.Struct, gc=False):
    """A message that arrived. *consumer* is empty for one that was fetched, *tag* is void once its channel is lost."""

    consumer: str
    tag: int
    redelivered: bool
    properties: Properties = Properties()
    body: bytes = b""


def frames(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take the complete frames off *buffer*: type, channel and payload of each. Raises `ValueError` for garbage."""
    start, size = 0, len(buffer)
    try:
        while size - start >= 8:  # noqa: PLR2004 - the least a frame takes
            kind, channel, length = _FRAME.unpack_from(buffer, start)
            end = start + 7 + length
            if end >= size:
                return
            if buffer[end] != FRAME_END:
                raise ValueError("a frame without its end")
            payload = bytes(buffer[start + 7 : end])
            start = end + 1
            yield kind, channel, payload
    finally:
        del buffer[:start]


def delivery(payload: bytes) -> Message:
    """The message that a method frame `basic.deliver` announces."""
    end = 5 + payload[4]
    tag = int.from_bytes(payload[end : end + 8], "big")
    return Message(payload[5:end].decode(), tag, payload[end + 8] != 0)


def fetched(payload: bytes) -> Message:
    """The message that a method frame `basic.get-ok` announces."""
    return Message("", int.from_bytes(payload[4:12], "big"), payload[12] != 0)


def acknowledged(payload: bytes) -> tuple[int, bool]:
    """The tag of a method frame `basic.ack` or `basic.nack`, and whether it stands for all before it, too."""
    return int.from_bytes(payload[4:12], "big"), bool(payload[12] & 1)


def header(payload: bytes) -> tuple[int, Properties]:
    """The size of the body, and the properties that are of interest."""
    _, _, size, flags = _CONTENT.unpack_from(payload)
    reader = _Reader(payload, _CONTENT.size)
    for flag in (_HAS_CONTENT_TYPE, _HAS_ENCODING):
        if flags & flag:
            reader.text()
    deliveries = 0
    if flags & _HAS_HEADERS:
        start = reader.at + 4
        reader.skip(4 + int.from_bytes(payload[reader.at : start], "big"))
        deliveries = _deliveries(payload[start : reader.at])
    if flags & _HAS_MODE:
        reader.skip(1)
    priority = reader.octet() if flags & _HAS_PRIORITY else 0
    correlation = reader.text() if flags & _HAS_CORRELATION else b""
    for flag in (_HAS_REPLY_TO, _HAS_EXPIRATION):
        if flags & flag:
            reader.text()
    job_id = reader.text() if flags & _HAS_ID else b""
    if flags & _HAS_TIMESTAMP:
        reader.skip(8)
    kind = reader.text() if flags & _HAS_TYPE else b""
    words = [word.decode("utf-8", "replace") for word in (job_id, kind, correlation)]
    return size, Properties(words[0], words[1], words[2], priority, deliveries)


def publish(channel: int, route: tuple[str, str], properties: Properties, body: bytes, limit: int) -> bytes:
    """The frames of a mandatory, persistent `basic.publish` to *route* (exchange, routing key)."""
    exchange, key = route
    method = b"\x00\x3c\x00\x28\x00\x00" + _text(exchange) + _text(key) + b"\x01"
    content = b"".join(
        (
            _CONTENT.pack(BASIC, 0, len(body), _OURS),
            bytes((_PERSISTENT, properties.priority)),
            _text(properties.correlation),
            _text(properties.id),
            _text(properties.type),
        )
    )
    parts = [frame(METHOD, channel, method), frame(HEADER, channel, content)]
    room = limit - 8
    parts += [frame(BODY, channel, body[start : start + room]) for start in range(0, len(body), room)]
    return b"".join(parts)


def ack(channel: int, tag: int, *, multiple: bool = False) -> bytes:
    """The frame that acknowledges one message, or all up to it."""
    return _ACK.pack(METHOD, channel, 13, BASIC, 80, tag, multiple, FRAME_END)


def requeue(channel: int, tag: int) -> bytes:
    """The frame `basic.nack` that gives one message back to its queue."""
    return _ACK.pack(METHOD, channel, 13, BASIC, 120, tag, 2, FRAME_END)


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame."""
    return _FRAME.pack(kind, channel, len(payload)) + payload + b"\xce"


def _deliveries(table: bytes) -> int:
    """What the server wrote of its count into the table of headers; nobody else writes that name."""
    _, name, rest = table.partition(_DELIVERY_COUNT)
    size = _INTEGERS.get(rest[:1], 0) if name else 0
    return max(0, int.from_bytes(rest[1 : 1 + size], "big", signed=True))


def _text(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


class _Reader:
    """Takes fields off a payload, one after the other."""

    __slots__ = ("_payload", "at")

    def __init__(self, payload: bytes, at: int) -> None:
        self._payload = payload
        self.at = at

    def skip(self, octets: int) -> None:
        self.at += octets

    def octet(self) -> int:
        self.at += 1
        return self._payload[self.at - 1]

    def text(self) -> bytes:
        start = self.at + 1
        self.at = start + self._payload[self.at]
        return self._payload[start : self.at]
