"""The terminal record: a Result to bytes and back."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.exceptions import DecodeError
from umbel.model.outcome import Result

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Result)


def encode(result: Result) -> bytes:
    """The bytes of *result*."""
    return _encoder.encode(result)


def decode(body: bytes) -> Result:
    """The result in *body*, untrusted. Raises `DecodeError`."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a result record: {error}") from error
