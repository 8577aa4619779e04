"""Parcels: what a child and the process of a job hand to each other. Four bytes of length, then MessagePack."""

from __future__ import annotations

import socket
import struct
from typing import Final, TypeAlias, get_args

import msgspec

from umbel.model.job import Delivery
from umbel.model.outcome import Outcome

MAX_BYTES: Final = 1024 * 1024 * 1024
READ_BYTES: Final = 256 * 1024
_LENGTH: Final = struct.Struct("<I")


class Order(msgspec.Struct, frozen=True, tag=True):
    """To the process: run this. *args* are what a flow gives; limits in seconds."""

    delivery: Delivery
    args: bytes = b""
    soft: float | None = None
    hard: float | None = None


class Note(msgspec.Struct, frozen=True, tag=True):
    """From the process: what the run says of itself, encoded."""

    body: bytes


class Keep(msgspec.Struct, frozen=True, tag=True):
    """From the process: have the broker keep *envelope* as the job, and answer with the same *number*."""

    number: int
    envelope: bytes


class Kept(msgspec.Struct, frozen=True, tag=True):
    """To the process: the job is kept; or not, for the error *text* of the class *kind* in `umbel.exceptions`."""

    number: int
    kind: str = ""
    text: str = ""


class End(msgspec.Struct, frozen=True, tag=True):
    """From the process: the outcome, by the name of its class."""

    kind: str
    body: bytes


Parcel: TypeAlias = Order | Note | Keep | Kept | End
_KINDS: Final = {kind.__name__: kind for kind in get_args(Outcome)}
_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final[msgspec.msgpack.Decoder[Parcel]] = msgspec.msgpack.Decoder(Parcel)


def packed(parcel: Parcel) -> bytes:
    """*parcel* as it travels."""
    body = _encode(parcel)
    return _LENGTH.pack(len(body)) + body


def end_of(outcome: Outcome) -> End:
    """*outcome* as a parcel."""
    return End(type(outcome).__name__, _encode(outcome))


def outcome_in(end: End) -> Outcome:
    """The outcome in *end*. Raises `ValueError` for what is none."""
    kind = _KINDS.get(end.kind)
    if kind is None:
        raise ValueError(f"{end.kind!r} is not an outcome")
    found: Outcome = msgspec.msgpack.decode(end.body, type=kind)
    return found


class Parcels:
    """Cuts what is read of *end* into parcels."""

    def __init__(self, end: socket.socket) -> None:
        """Nothing was read."""
        self._end = end
        self._buffer = bytearray()

    def read(self) -> list[Parcel] | None:
        """The parcels that one read completes; None when the other side is gone, or sends what is none."""
        try:
            data = self._end.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self._buffer += data
        try:
            return list(self._complete())
        except ValueError:  # what is no parcel, too
            return None

    def _complete(self) -> list[Parcel]:
        found: list[Parcel] = []
        while len(self._buffer) >= _LENGTH.size:
            length: int = _LENGTH.unpack_from(self._buffer)[0]
            if length > MAX_BYTES:
                raise ValueError(f"a parcel of {length:,} bytes is too large")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            found.append(_decoder.decode(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return found
