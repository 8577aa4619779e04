"""Redaction: what events may show of values that users gave. Plain values in, JSON out; secrets and length stay out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import msgspec

from umbel.wire.head import head
from umbel.wire.values import extension

WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "credential",
    "api_key",
    "apikey",
    "private_key",
    "session_key",
    "card",
    "cvc",
    "cvv",
    "iban",
)
"""A value is hidden whose name has one of these in it, in capitals or not."""
HIDDEN: Final = "***"
MAX_CHARACTERS: Final = 1024
MAX_ITEMS: Final = 100
MAX_DEPTH: Final = 6
MAX_SHOWN: Final = 16 * 1024
"""How many characters all of it may have."""
MAX_READ_BYTES: Final = 256 * 1024
"""Of a value above it only the beginning is read."""
_HEAD_CHARACTERS: Final = MAX_CHARACTERS - 64
_CUT: Final = re.compile(r'"…"|… [0-9,]+ more(?: characters| bytes)?"')
_MAX_NAMES: Final = 4096
_MAX_INTEGER: Final = 2**63
_NO_ARGS: Final = msgspec.Raw(b"\x90")
_NO_KWARGS: Final = msgspec.Raw(b"\x80")
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_PLAIN: Final = frozenset({int, float, bool, type(None), str})
_SEVERAL: Final = frozenset({list, tuple, set, frozenset})
_json: Final = msgspec.json.Encoder().encode
_any: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(ext_hook=extension)
_DAMAGED: Final = (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError)


class Sketch(msgspec.Struct, frozen=True, gc=False):
    """What those who tell of a task know of it: the *names* of its positional parameters, those that are *hidden*.

    *silent*: nothing is told of its jobs.
    """

    names: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    silent: bool = False


UNKNOWN: Final = Sketch()


class Redaction:
    """The rule: `WORDS` and *words* of the user's own."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._pattern = re.compile("|".join(map(re.escape, (*WORDS, *filter(None, words)))), re.IGNORECASE)
        self._hides: dict[str, bool] = {}
        self._hiding: dict[tuple[str, ...], bool] = {}

    def args(self, raw: msgspec.Raw, sketch: Sketch = UNKNOWN) -> str:
        """The positional arguments in *raw*, encoded, as a JSON list."""
        if raw == _NO_ARGS:
            return "[]"
        value = _read(raw)
        if value.__class__ is list and len(value) <= MAX_ITEMS and not self._hides_any(sketch):
            return self._list(value)
        if value.__class__ is not list:
            return _text(self._plain(value, MAX_DEPTH))
        names, hidden = sketch.names, sketch.hidden
        shown = [
            HIDDEN if index < len(names) and self._secret(names[index], hidden) else self._plain(item, MAX_DEPTH)
            for index, item in enumerate(value[:MAX_ITEMS])
        ]
        return _text(shown if len(value) <= MAX_ITEMS else [*shown, _more(len(value))])

    def _list(self, value: list[Any]) -> str:
        """Arguments none of which is hidden as a whole; most are short scalars, which need no look at each."""
        if _PLAIN.issuperset(map(type, value)):
            with suppress(OverflowError):
                text = _json(value).decode()
                if len(text) <= MAX_CHARACTERS:
                    return text
        return _text([self._plain(item, MAX_DEPTH) for item in value])

    def _hides_any(self, sketch: Sketch) -> bool:
        """Whether a positional argument is hidden for the name of its parameter."""
        found = self._hiding.get(sketch.names)
        if found is None:
            if len(self._hiding) >= _MAX_NAMES:
                self._hiding.clear()
            found = self._hiding[sketch.names] = any(map(self._named, sketch.names))
        return found or bool(sketch.hidden)

    def kwargs(self, raw: msgspec.Raw, sketch: Sketch = UNKNOWN) -> str:
        """The keyword arguments in *raw*, encoded, as a JSON object."""
        if raw == _NO_KWARGS:
            return "{}"
        value = _read(raw)
        return _text(self._map(value, MAX_DEPTH, sketch.hidden) if value.__class__ is dict else self._plain(value, 1))

    def value(self, raw: bytes | msgspec.Raw) -> str:
        """The value in *raw*, encoded, as JSON."""
        value = _read(raw)
        return _text(self._plain(value, MAX_DEPTH))

    def plain(self, value: object) -> str:
        """*value*, made of what travels, as JSON."""
        return _text(self._plain(value, MAX_DEPTH))

    def _secret(self, name: str, hidden: tuple[str, ...]) -> bool:
        return name in hidden or self._named(name)

    def _named(self, name: str) -> bool:
        known = self._hides.get(name)
        if known is None:
            if len(self._hides) >= _MAX_NAMES:
                self._hides.clear()
            known = self._hides[name] = self._pattern.search(name) is not None
        return known

    def _plain(self, value: Any, room: int) -> Any:
        kind: type = value.__class__
        if kind in _SCALARS:
            return value if kind is not int or abs(value) < _MAX_INTEGER else str(value)[:MAX_CHARACTERS]
        if kind is str:
            return _cut(value, MAX_CHARACTERS)
        if kind is bytes:
            return f"<{len(value)} bytes>"
        if kind is dict or kind in _SEVERAL:
            return self._container(value, room - 1)
        return str(value)[:MAX_CHARACTERS]

    def _container(self, value: Any, room: int) -> Any:
        if room < 0:
            return "…"
        if value.__class__ is dict:
            return self._map(value, room, ())
        items = [self._plain(item, room) for item in islice(value, MAX_ITEMS)]
        return items if len(value) <= MAX_ITEMS else [*items, _more(len(value))]

    def _map(self, value: Mapping[Any, Any], room: int, hidden: tuple[str, ...]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, item in value.items():
            if len(shown) >= MAX_ITEMS:
                shown["…"] = _more(len(value))
                break
            name = key if type(key) is str else str(key)
            shown[name[:MAX_CHARACTERS]] = HIDDEN if self._secret(name, hidden) else self._plain(item, room)
        return shown


def is_cut(text: str | None) -> bool:
    """Whether something was left out of the values in *text*, JSON that was made here, as they were long."""
    return text is not None and _CUT.search(text) is not None


def _read(raw: bytes | msgspec.Raw) -> Any:
    size = len(memoryview(raw))
    try:
        if size > MAX_READ_BYTES:
            return head(raw, _HEAD_CHARACTERS, MAX_ITEMS - 1, MAX_DEPTH)
        return _any.decode(raw)  # however deep it is: nobody here follows it to the bottom
    except _DAMAGED:
        return f"<{size} bytes that cannot be read>"


def _more(count: int) -> str:
    return f"… {count - MAX_ITEMS:,} more"


def _text(shown: object) -> str:
    text = _json(shown).decode()
    return text if len(text) <= MAX_SHOWN else _json(_cut(text, MAX_SHOWN)).decode()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… {len(text) - most:,} more characters"
