"""Values on their way to PostgreSQL: ids as UUIDs, arrays as text, bytes as binary arrays. Pure but for `Blobs`.

Everything but bytes travels as text of unknown type and is cast in the statement: so a statement is prepared once,
whatever the size of its numbers, and an array costs one join.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NAMES: Final = uuid.UUID("5f2ad6a4-3f5b-5b0e-9d53-0e4b8f3a9c11")
_BYTEA, _BYTEA_ARRAY = 17, 1001
_HEAD: Final = struct.Struct("!iiIii")
_LENGTH: Final = struct.Struct("!i")
_ESCAPED: Final = re.compile(r'(["\\])')


def key(job_id: str) -> str:
    """The UUID under which *job_id* is kept: itself if it is one as Umbel writes them, else one made of it."""
    return job_id if _UUID.fullmatch(job_id) is not None else str(uuid.uuid5(_NAMES, job_id))


def name(job_id: str) -> str:
    """What has to be kept beside `key` to know *job_id* again: empty if it is the key."""
    return "" if _UUID.fullmatch(job_id) is not None else job_id


def texts(values: Iterable[str]) -> str:
    """An array of any texts. What PostgreSQL's texts cannot hold is replaced: NUL, and half characters."""
    text = "{" + ",".join([f'"{_ESCAPED.sub(_escape, value)}"' for value in values]).replace("\0", "?") + "}"
    return text if text.isascii() else text.encode(errors="replace").decode()


def text(value: str) -> str:
    """*value* as PostgreSQL's texts can hold it, see `texts`."""
    return value if value.isprintable() else value.replace("\0", "?").encode(errors="replace").decode()


def plain(values: Iterable[object]) -> str:
    """An array of numbers, or of UUIDs: nothing in it needs an escape."""
    return "{" + ",".join([str(value) for value in values]) + "}"


def moment(seconds: float | None) -> str | None:
    """A point in time, *seconds* of unix time; None stays what it is."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _escape(found: re.Match[str]) -> str:
    return "\\" + found.group()


class Blobs(list[bytes]):
    """An array of bytes, sent as it is."""

    def dumped(self) -> bytes:
        """PostgreSQL's binary form of a ``bytea[]``.

        The number of dimensions, no nulls, the type, the length, the first index; then each with its length.
        """
        if not self:
            return struct.pack("!iiI", 0, 0, _BYTEA)
        parts = [_HEAD.pack(1, 0, _BYTEA, len(self), 1)]
        for value in self:
            parts += (_LENGTH.pack(len(value)), value)
        return b"".join(parts)


class BlobsDumper(Dumper):
    """Has the driver write `Blobs`."""

    format = Format.BINARY
    oid = _BYTEA_ARRAY

    def dump(self, obj: Blobs) -> Buffer:
        """The array, see `Blobs.dumped`."""
        return obj.dumped()


def binary(value: object) -> bytes:
    """*value*, `Blobs` or bytes, in PostgreSQL's binary form. Raises `TypeError` for any other."""
    if isinstance(value, Blobs):
        return value.dumped()
    if isinstance(value, bytes):
        return value
    raise TypeError(f"{type(value).__name__} does not travel to PostgreSQL: make it a text")
