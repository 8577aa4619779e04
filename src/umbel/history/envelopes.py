"""Envelopes as the history keeps them: as they are when they are small, else compressed by zlib."""

from __future__ import annotations

import zlib
from typing import Final

SMALL_BYTES: Final = 200
"""Below this, compressing costs more time than it saves room."""
ZLIB_LEVEL: Final = 1
_COMPRESSED: Final = 0x78
"""The first byte of what zlib has made; envelopes that begin with it, which ours do not, are compressed."""


def packed(envelope: bytes) -> bytes:
    """*envelope*, which is not empty, as it is kept."""
    if len(envelope) < SMALL_BYTES and envelope[0] != _COMPRESSED:
        return envelope
    return zlib.compress(envelope, ZLIB_LEVEL)


def unpacked(kept: bytes) -> bytes:
    """The envelope again."""
    return zlib.decompress(kept) if kept[0] == _COMPRESSED else kept
