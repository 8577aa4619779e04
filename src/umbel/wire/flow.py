"""What travels of flows beside envelopes: why a member failed, and values that become arguments without a decoding."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from umbel.exceptions import DecodeError
from umbel.model.failure import Failure
from umbel.model.flow import Cause, Part

MAX_KEPT_BYTES: Final = 256 * 1024
"""The largest envelope that is kept of a job that failed in a flow: a settle carries up to 256 of them."""
_FIX, _ARRAY16, _ARRAY32 = 0x90, 0xDC, 0xDD
_MAX_FIX, _MAX_16 = 15, 0xFFFF


class _Bare(msgspec.Struct, gc=False, rename={"part": "f"}):
    """Nothing of an envelope but its part."""

    part: Part | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_causes: Final = msgspec.msgpack.Decoder(Cause)
_bare: Final = msgspec.msgpack.Decoder(_Bare)


def encode_cause(job_id: str, failure: Failure, queue: str = "", envelope: bytes = b"") -> bytes:
    """The value of a join of a job that brought none; a large *envelope* is left out."""
    return _encoder.encode(Cause(job_id, failure, queue, envelope if len(envelope) <= MAX_KEPT_BYTES else b""))


def decode_cause(value: bytes) -> Cause:
    """The cause in *value*, untrusted. Raises `DecodeError`."""
    try:
        return _causes.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not the cause of a failure: {error}") from error


def part_of(body: bytes) -> Part | None:
    """The part in an envelope that cannot be read otherwise, such as one of a later version; None if there is none."""
    try:
        return _bare.decode(body).part
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def listed(count: int, values: Sequence[bytes]) -> bytes:
    """The encoded list of *count* values; *values* are pieces of some of them each, encoded one behind another."""
    return b"".join((_header(count), *values))


def with_first(args: msgspec.Raw, value: bytes) -> msgspec.Raw:
    """The encoded arguments *args* with the encoded *value* before them. Raises `DecodeError` if *args* is no list."""
    body = bytes(args)
    count, start = _size(body)
    return msgspec.Raw(b"".join((_header(count + 1), value, body[start:])))


def _header(count: int) -> bytes:
    if count <= _MAX_FIX:
        return bytes((_FIX + count,))
    return struct.pack(">BH", _ARRAY16, count) if count <= _MAX_16 else struct.pack(">BI", _ARRAY32, count)


def _size(body: bytes) -> tuple[int, int]:
    """How many elements the array *body* has, and where the first one starts."""
    first = body[0] if body else 0
    try:
        if _FIX <= first <= _FIX + _MAX_FIX:
            return first - _FIX, 1
        if first == _ARRAY16:
            return struct.unpack_from(">H", body, 1)[0], 3
        if first == _ARRAY32:
            return struct.unpack_from(">I", body, 1)[0], 5
    except struct.error as error:
        raise DecodeError(f"the arguments are cut off: {error}") from error
    raise DecodeError("the arguments are no list")
