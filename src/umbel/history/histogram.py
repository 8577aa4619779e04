"""Histograms: counts by bucket, 112 of them from 1 ms to 2.6 days, as a few bytes; percentiles are within 9.1 %.

A chart adds up thousands of them. So a histogram whose buckets lie close together is stored as lanes: its counts one
after another, each of the same width, with room above. Read as one large integer, many are then added in one step. One
with few buckets far apart is stored as a map.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
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
FEW: Final = 3
"""So many buckets are always a map."""
_FORMATS: Final = {2: "H", 4: "I", 8: "Q"}
_MIDDLES: Final = [seconds_of(bucket) / 2**0.125 for bucket in range(BUCKETS + 1)]
"""Between the ends of a bucket: half its width is the most that this can be wrong."""
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[int, int])


def together(many: Iterable[bytes]) -> list[int]:
    """The counts by bucket of *many* histograms, as they are stored, added up. Raises `DecodeError`."""
    total = [0] * BUCKETS
    room = 2**ROOM_BITS
    lanes: dict[bytes, int] = {}  # by their heads
    get, number = lanes.get, int.from_bytes
    for found in many:
        if not found:
            continue
        if found[0] != LANES:
            for bucket, count in unpacked(found).items():
                total[bucket] += count
            continue
        head = found[:HEAD_BYTES]
        lanes[head] = get(head, 0) + number(found[HEAD_BYTES:], "little")
        room -= 1
        if not room:
            total = _settled(total, lanes)
            lanes.clear()
            room = 2**ROOM_BITS
    return _settled(total, lanes)


def packed(counts: Mapping[int, int]) -> bytes:
    """*counts* as bytes; empty for none."""
    if not counts:
        return EMPTY
    told = _encoder.encode(dict(sorted(counts.items())))
    if len(counts) <= FEW:
        return told
    lanes = _as_lanes(counts, 1.5 * len(told) + MAX_LOSS_BYTES)
    return told if lanes is None else lanes


def unpacked(found: bytes) -> dict[int, int]:
    """The counts in *found*. Raises `DecodeError`."""
    if not found:
        return {}
    if found[0] == LANES:
        return _counted(found)
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


def percentiles(counts: Sequence[int], wanted: Iterable[float]) -> list[float | None]:
    """The seconds below which each share of *wanted* (0-1) of *counts*, by bucket, is; None if they are all 0."""
    below = list(accumulate(counts))
    total = below[-1]
    return [_MIDDLES[bisect_left(below, share * total)] if total else None for share in wanted]


def _as_lanes(counts: Mapping[int, int], most: float) -> bytes | None:
    """*counts* as lanes; None if those are longer than *most* bytes, or a count is too large for any."""
    low, high, greatest = min(counts), max(counts), max(counts.values())
    width = next((each for each in _FORMATS if greatest < 2 ** (8 * each - ROOM_BITS)), 0)
    length = high - low + 1
    if not width or HEAD_BYTES + width * length > most:
        return None
    values = (counts.get(bucket, 0) for bucket in range(low, high + 1))
    return bytes((LANES, width, low)) + struct.pack(f"<{length}{_FORMATS[width]}", *values)


def _settled(total: list[int], lanes: Mapping[bytes, int]) -> list[int]:
    """*total* with the sums of *lanes* added."""
    widths: dict[int, int] = {}
    for head, value in lanes.items():
        width, first = _head(head)
        widths[width] = widths.get(width, 0) + (value << 8 * width * first)
    for width, value in widths.items():
        try:
            counts = struct.unpack(f"<{BUCKETS}{_FORMATS[width]}", value.to_bytes(width * BUCKETS, "little"))
        except OverflowError as error:
            raise DecodeError("a histogram cannot be read: it has too many buckets") from error
        total = [old + new for old, new in zip(total, counts, strict=True)] if any(total) else list(counts)
    return total


def _head(found: bytes) -> tuple[int, int]:
    """The width of the lanes in *found*, and their first bucket. Raises `DecodeError`."""
    if len(found) < HEAD_BYTES or found[1] not in _FORMATS:
        raise DecodeError("a histogram cannot be read: it is cut off")
    return found[1], found[2]


def _counted(found: bytes) -> dict[int, int]:
    width, first = _head(found)
    lanes = found[HEAD_BYTES:]
    if len(lanes) % width:
        raise DecodeError("a histogram cannot be read: it is cut off")
    values: Iterable[int] = struct.unpack(f"<{len(lanes) // width}{_FORMATS[width]}", lanes)
    return {bucket: count for bucket, count in enumerate(values, first) if count}
