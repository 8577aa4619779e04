"""The note: what a running job says of itself, to bytes and back. What an engine keeps and never reads."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from umbel.exceptions import DecodeError, EncodeError
from umbel.wire import values

MAX_NOTE_BYTES: Final = 64 * 1024
"""How large a note may be: there is one for each running job."""
_TEXT: Final = frozenset({str})
NOTHING: Final = msgspec.Raw(b"\xc0")


class Note(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A state and what goes with it, in the attempt after *retries* retries; of an earlier one it is out of date."""

    state: str
    meta: msgspec.Raw = NOTHING
    retries: int = 0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Note)


def encode_meta(meta: object) -> bytes:
    """What goes with a state, as bytes. Raises `EncodeError` for what cannot travel, and for what is too large."""
    body = values.pack(meta) if _is_plain(meta) else values.encode(meta)
    if len(body) > MAX_NOTE_BYTES:
        raise EncodeError(f"meta takes {len(body):,} bytes, more than {MAX_NOTE_BYTES:,}: store it elsewhere")
    return body


def _is_plain(meta: object) -> bool:
    # Most are, and a task that computes calls this often: looked at in C, it need not be converted.
    if type(meta) is not dict:
        return False
    given = cast("dict[object, object]", meta)
    return values.PLAIN.issuperset(map(type, given.values())) and _TEXT.issuperset(map(type, given))


def encode(state: str, meta: bytes, retries: int) -> bytes:
    """The bytes of a note; *meta* is encoded."""
    return _encoder.encode(Note(state, msgspec.Raw(meta), retries))


def decode(body: bytes) -> Note:
    """The note in *body*, untrusted. Raises `DecodeError`."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a note: {error}") from error


def meta_of(note: Note) -> Any:
    """What goes with the state of *note*."""
    return values.decode(note.meta)
