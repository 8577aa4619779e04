"""Keys: what jobs are counted by, as text: one text for equal values, in whatever process and order they were made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import PurePath
from typing import Any, Final, cast

import msgspec

from umbel.exceptions import EncodeError
from umbel.wire.values import is_pydantic

MAX_LENGTH: Final = 120
"""Longer texts end in a hash of the whole instead."""
_KEPT: Final = 80
_HASH_BYTES: Final = 16
_WORD: Final = re.compile(r"[A-Za-z_][\w.:@/+-]*", re.ASCII)
_LITERALS: Final = frozenset({"null", "true", "false"})
_SETS: Final = (set, frozenset)


def key_text(value: object) -> str:
    """The text of *value*: a plain word is itself, all else JSON in which nothing depends on an order of iteration.

    Raises `EncodeError` for a value that has no such text.
    """
    if isinstance(value, str) and _WORD.fullmatch(value) and value not in _LITERALS:
        text = value
    else:
        text = _encoded(value).decode()
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:_KEPT]}#{blake2b(text.encode(), digest_size=_HASH_BYTES).hexdigest()}"


def _encoded(value: object) -> bytes:
    try:
        return _encode(_ordered(value))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise EncodeError(f"of type {type(value).__qualname__} cannot be a key: {error}") from error


def _ordered(value: Any) -> Any:
    """*value* without sets, and without dicts whose keys JSON does not know."""
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        if all(isinstance(key, str) for key, _ in items):
            return {key: _ordered(item) for key, item in items}
        return sorted(([_ordered(key), _ordered(item)] for key, item in items), key=_encode)
    if isinstance(value, _SETS):
        return sorted(map(_ordered, cast("set[object]", value)), key=_encode)
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in cast("list[object]", value)]
    return value


def _plain(value: Any) -> object:
    if isinstance(value, PurePath):
        return str(value)
    kind = cast("type[object]", type(value))
    if is_pydantic(kind):
        return _ordered(value.model_dump())
    raise TypeError(f"{kind.__qualname__} has no text")


_encode: Final = msgspec.json.Encoder(order="deterministic", enc_hook=_plain).encode
