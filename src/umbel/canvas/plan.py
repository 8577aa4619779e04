"""Plan: the graph of a flow for whoever shows it. An engine keeps it as bytes, and never looks into it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from umbel.exceptions import DecodeError

Place: TypeAlias = tuple[int, str, tuple[int, ...]]
"""The node that sends a job, its task, and the nodes that wait for it."""

ZLIB: Final = 0x78
SMALL_BYTES: Final = 1024
MAX_BYTES: Final = 2**28
"""A plan that would be larger is damaged, or made to fill the memory of who looks at it."""


class Kind(msgspec.Struct, frozen=True, array_like=True):
    """Jobs of one task that the node *node* sends and that feed the nodes *feeds*; *count* is how many."""

    node: int
    task: str
    feeds: tuple[int, ...]
    count: int


_decoder: Final = msgspec.msgpack.Decoder(list[Kind])


def encode(counts: Mapping[Place, int]) -> bytes:
    """The plan as the engine keeps it; *counts* are the jobs of each place."""
    plain = msgspec.msgpack.encode([(*place, count) for place, count in counts.items()])
    # Names repeat: a chord of 10,000 chains has 20,000 places, which become a tenth of their size. A small plan is
    # not worth the 20 µs. The two are told apart by their first byte: what zlib writes is no list for msgpack.
    return plain if len(plain) < SMALL_BYTES else zlib.compress(plain, 1)


def decode(plan: bytes) -> list[Kind]:
    """The jobs of a flow; none if it carries no plan. Raises `DecodeError`."""
    if not plan:
        return []
    try:
        return _decoder.decode(_inflated(plan) if plan[0] == ZLIB else plan)
    except (msgspec.MsgspecError, zlib.error, RecursionError, UnicodeDecodeError) as error:
        raise DecodeError(f"not the plan of a flow: {error}") from error


def _inflated(plan: bytes) -> bytes:
    inflating = zlib.decompressobj()
    found = inflating.decompress(plan, MAX_BYTES)
    if inflating.unconsumed_tail or not inflating.eof:
        raise DecodeError("not the plan of a flow: it is cut off, or too large")
    return found
