"""Batches of events as bytes and back."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.exceptions import DecodeError
from umbel.model.event import VERSION, Batch, Ran

_decoder: Final = msgspec.msgpack.Decoder(Batch)
encode: Final = msgspec.msgpack.Encoder().encode
"""The bytes of a `Batch`."""
pack: Final = encode
"""Rows of `Runs` as the bytes that stand for them in a batch."""
unpack: Final = msgspec.msgpack.Decoder(list[Ran]).decode
"""The rows in bytes that `pack` has made."""


def decode(body: bytes) -> Batch:
    """The batch in *body*, untrusted. Raises `DecodeError`."""
    try:
        batch = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a batch of events: {error}") from error
    if batch.version > VERSION:
        raise DecodeError(f"batches of version {batch.version} are newer than what is understood here ({VERSION})")
    return batch
