"""Head: the beginning of a large value in msgpack. It costs the same however large the value is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from umbel.wire.values import extension

MAX_PARTS: Final = 5_000
"""How many values within it are read or passed over; what follows is left out."""
MAX_SMALL_BYTES: Final = 4_096
"""What is tagged (a date, a set, …) and larger than this is told by its size."""
_REST: Final = "…"
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_TEXTS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINARIES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_TAGGED: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 1),
    0xCA: 5,
    0xCB: 9,
    0xCC: 2,
    0xCD: 3,
    0xCE: 5,
    0xCF: 9,
    0xD0: 2,
    0xD1: 3,
    0xD2: 5,
    0xD3: 9,
    0xD4: 3,
    0xD5: 4,
    0xD6: 6,
    0xD7: 10,
    0xD8: 18,
}
_decode: Final = msgspec.msgpack.Decoder(ext_hook=extension).decode


def head(raw: bytes | msgspec.Raw, characters: int, items: int, depth: int) -> Any:
    """The value in *raw*, untrusted, with marks for what was left out.

    Of a text about *characters* characters, of a list or mapping *items* parts, no more than *depth* within each other.
    Raises `ValueError` where it is damaged.
    """
    try:
        return _Reader(memoryview(raw), characters, items).value(depth)
    except (IndexError, msgspec.MsgspecError) as error:
        raise ValueError(f"not a value: {error}") from error


class _Reader:
    """Reads forward through *data*."""

    def __init__(self, data: memoryview, characters: int, items: int) -> None:
        self._data = data
        self._characters = characters
        self._items = items
        self._at = 0
        self._left = MAX_PARTS

    def value(self, depth: int) -> Any:
        """The next value."""
        kind, size, parts = self._next()
        if kind == "text":
            return self._text(size)
        if kind == "list":
            return self._list(parts, depth - 1)
        if kind == "map":
            return self._map(parts, depth - 1)
        start, self._at = self._at, self._at + size
        if kind == "bytes" or size > MAX_SMALL_BYTES:
            return f"<{size:,} bytes>"
        return _decode(self._data[start : self._at])

    def _next(self) -> tuple[str, int, int]:
        """The kind of the next value, how many bytes of it follow, and how many parts it has; its head is passed."""
        self._left -= 1
        first = self._data[self._at]
        if first < 0x80 or first >= 0xE0:  # noqa: PLR2004 - the format's numbers, here and below
            return "small", 1, 0
        if first < 0xC0:  # noqa: PLR2004 - a short mapping, list or text
            self._at += 1
            if first >= 0xA0:  # noqa: PLR2004
                return "text", first & 0x1F, 0
            return ("list" if first >= 0x90 else "map"), 0, first & 0x0F  # noqa: PLR2004
        if first in _FIXED:
            return "small", _FIXED[first], 0
        return self._long(first)

    def _long(self, first: int) -> tuple[str, int, int]:
        for kind, widths in (("text", _TEXTS), ("bytes", _BINARIES), ("list", _ARRAYS), ("map", _MAPS)):
            if first in widths:
                number = self._number(widths[first])
                return (kind, number, 0) if kind in ("text", "bytes") else (kind, 0, number)
        width = _TAGGED.get(first)
        if width is None:
            raise ValueError(f"no value begins with {first}")
        number = int.from_bytes(self._data[self._at + 1 : self._at + 1 + width])
        return "small", 1 + width + 1 + number, 0

    def _number(self, width: int) -> int:
        start = self._at + 1
        self._at = start + width
        return int.from_bytes(self._data[start : self._at])

    def _text(self, size: int) -> str:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise ValueError("it ends early")
        if size <= self._characters:
            return str(self._data[start : self._at], "utf-8", "replace")
        begun = str(self._data[start : start + self._characters], "utf-8", "ignore")
        return f"{begun}… {size - self._characters:,} more bytes"

    def _list(self, parts: int, depth: int) -> Any:
        if depth < 0:
            self._pass(parts)
            return _REST
        found: list[Any] = []
        while len(found) < min(parts, self._items) and self._left > 0:
            found.append(self.value(depth))
        if len(found) < parts:
            self._pass(parts - len(found))
            found.append(f"… {parts - len(found):,} more")
        return found

    def _map(self, parts: int, depth: int) -> Any:
        if depth < 0:
            self._pass(2 * parts)
            return _REST
        found: dict[str, Any] = {}
        read = 0
        while read < min(parts, self._items) and self._left > 0:
            name = str(self.value(0))
            found[name] = self.value(depth)
            read += 1
        if read < parts:
            self._pass(2 * (parts - read))
            found[_REST] = f"… {parts - read:,} more"
        return found

    def _pass(self, parts: int) -> None:
        """Go on behind so many *parts*, if there are not too many within them."""
        while parts > 0 and self._left > 0:
            _, size, more = self._next_passed()
            self._at += size
            parts += more - 1

    def _next_passed(self) -> tuple[str, int, int]:
        kind, size, parts = self._next()
        return kind, size, 2 * parts if kind == "map" else parts
