"""Histograms: counts by bucket, 112 of them from 1 ms to 2.6 days, as a few bytes; percentiles are within 9.1 %.

A chart adds up thousands of them. So a histogram whose buckets lie close together is stored as lanes: its counts one
after another, each of the same width, with room above. Read as one large integer, many are then added in one step. One
with few buckets far apart is stored as a map.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from umbel.exceptions import DecodeError
from umbel.model.event import BUCKETS, seconds_of

EMPTY: Final = b""
LANES: Final = 0xC1
"""The first byte of lanes, which begins nothing in msgpack; then come the width of a lane and the first bucket."""
HEAD_BYTES: Final = 3
ROOM_BITS: Final = 12
"""How much of a lane is left free: so many powers of two of histograms can be added before a lane is full."""
MAX_LOSS_BYTES: Final = 16
"""How much longer lanes may be than the map; they are half as large again, too."""
_FORMATS: Final = {2: "H", 4: "I", 8: "Q"}
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[int, int])


class Sum:
    """Histograms, added up."""

    def __init__(self) -> None:
        self._lanes: dict[int, int] = {}
        self._room = 2**ROOM_BITS
        self._counts: dict[int, int] = {}

    def add(self, found: bytes) -> None:
        """Add one as it is stored. Raises `DecodeError`."""
        if not found:
            return
        if found[0] != LANES:
            merge(self._counts, unpacked(found))
            return
        width, first = _head(found)
        lanes = int.from_bytes(found[HEAD_BYTES:], "little") << 8 * width * first
        self._lanes[width] = self._lanes.get(width, 0) + lanes
        self._room -= 1
        if not self._room:
            self.counts()

    def counts(self) -> dict[int, int]:
        """The counts of all of them together."""
        for width, lanes in self._lanes.items():
            merge(self._counts, _counted(width, 0, lanes.to_bytes(width * BUCKETS, "little")))
        self._lanes.clear()
        self._room = 2**ROOM_BITS
        return self._counts


def packed(counts: Mapping[int, int]) -> bytes:
    """*counts* as bytes; empty for none."""
    if not counts:
        return EMPTY
    told = _encoder.encode(dict(sorted(counts.items())))
    lanes = _as_lanes(counts, 1.5 * len(told) + MAX_LOSS_BYTES)
    return told if lanes is None else lanes


def unpacked(found: bytes) -> dict[int, int]:
    """The counts in *found*. Raises `DecodeError`."""
    if not found:
        return {}
    if found[0] == LANES:
        return _counted(*_head(found), found[HEAD_BYTES:])
    try:
        return _decoder.decode(found)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"a histogram cannot be read: {error}") from error


def add(into: dict[int, int], more: Mapping[int, int]) -> None:
    """Add *more* to *into*; buckets that do not exist count as the nearest that does."""
    for bucket, count in more.items():
        if count > 0:
            place = max(0, min(bucket, BUCKETS - 1))
            into[place] = into.get(place, 0) + count


def merge(into: dict[int, int], more: Mapping[int, int]) -> None:
    """Add *more*, which is known to be right: stored before."""
    get = into.get
    for bucket, count in more.items():
        into[bucket] = get(bucket, 0) + count


def percentiles(counts: Mapping[int, int], wanted: Sequence[float]) -> list[float | None]:
    """For each of *wanted* (0-1), which grow, the seconds below which that share is; None for an empty histogram."""
    total = sum(counts.values())
    found: list[float | None] = []
    below = 0
    for bucket in sorted(counts):
        below += counts[bucket]
        while len(found) < len(wanted) and below >= wanted[len(found)] * total:
            # Between the ends of the bucket: half its width is the most that this can be wrong.
            found.append(seconds_of(bucket) / 2**0.125)
    return found + [None] * (len(wanted) - len(found))


def _as_lanes(counts: Mapping[int, int], most: float) -> bytes | None:
    """*counts* as lanes; None if those are longer than *most* bytes, or a count is too large for any."""
    low, high, greatest = min(counts), max(counts), max(counts.values())
    width = next((each for each in _FORMATS if greatest < 2 ** (8 * each - ROOM_BITS)), 0)
    length = high - low + 1
    if not width or HEAD_BYTES + width * length > most:
        return None
    values = (counts.get(bucket, 0) for bucket in range(low, high + 1))
    return bytes((LANES, width, low)) + struct.pack(f"<{length}{_FORMATS[width]}", *values)


def _head(found: bytes) -> tuple[int, int]:
    """The width of the lanes in *found*, and their first bucket. Raises `DecodeError`."""
    if len(found) <= HEAD_BYTES or found[1] not in _FORMATS or (len(found) - HEAD_BYTES) % found[1]:
        raise DecodeError("a histogram cannot be read: it is cut off")
    return found[1], found[2]


def _counted(width: int, first: int, lanes: bytes) -> dict[int, int]:
    values: Iterable[int] = struct.unpack(f"<{len(lanes) // width}{_FORMATS[width]}", lanes)
    return {bucket: count for bucket, count in enumerate(values, first) if count}
