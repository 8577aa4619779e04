"""The index of arguments: which (path, value) pairs a job can be found by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec

from umbel.history.bounds import MAX_NAME

T = TypeVar("T")
Scalar: TypeAlias = str | int | float | bool | None

MAX_DEPTH: Final = 4
MAX_LEAVES: Final = 32
MAX_TEXT: Final = 128
MASKED: Final = "***"
_NO_ARGS: Final = (None, "[]")
_NO_KWARGS: Final = (None, "{}")
_CONTAINERS: Final = (dict, list)
_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_LIST: Final = msgspec.json.Decoder(list[Any])
_MAPPING: Final = msgspec.json.Decoder(dict[str, Any])


@lru_cache(maxsize=1024, typed=True)  # an argument has two paths, and many jobs have the same ones
def hashed(value: Scalar) -> int:
    """A number for *value* that another type of the same look has not; 1 and 1.0 are one number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    told = f"{type(value).__name__}:{value}"
    return int.from_bytes(blake2b(told.encode(errors="replace"), digest_size=8).digest(), "big") >> 1


def indexable(value: Any) -> bool:
    """Whether a job can be found by *value*: a scalar that is not too long and was not masked."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and not value.startswith(MASKED)
    return value.__class__ in _NUMBERS


def leaves(args: str | None, kwargs: str | None, headers: str | None, parameters: Sequence[str]) -> dict[str, Scalar]:
    """Up to 32 paths with their values: ``args.0``, ``arg.<parameter>`` however it was passed, ``header.<name>``."""
    found: dict[str, Scalar] = {}
    if kwargs not in _NO_KWARGS:
        _put_all(found, "arg", _read(kwargs, _MAPPING) or {}, 1)
    given = None if args in _NO_ARGS else _read(args, _LIST)
    if given:
        if parameters:
            _put_all(found, "arg", dict(zip(parameters, given, strict=False)), 1)
        _put_all(found, "args", given, 1)
    if headers:
        _put_all(found, "header", _read(headers, _MAPPING) or {}, 1)
    return found


def _put_all(found: dict[str, Scalar], path: str, values: Any, depth: int) -> None:
    """Put what can be found of *values*, at *path*, into *found*."""
    for key, value in islice(_inside(values), MAX_LEAVES):
        if len(found) >= MAX_LEAVES:
            return
        if isinstance(value, _CONTAINERS):
            if depth < MAX_DEPTH:
                _put_all(found, f"{path}.{key}", value, depth + 1)
        elif indexable(value) and len(place := f"{path}.{key}") <= MAX_NAME:
            found[place.replace("\0", "␀") if "\0" in place else place] = value


def _inside(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).items()
    items: list[Any] = value
    return enumerate(items)


def _read(told: str | None, decoder: msgspec.json.Decoder[T]) -> T | None:
    if not told:
        return None
    try:
        return decoder.decode(told)
    except (msgspec.MsgspecError, RecursionError):
        return None  # it was shortened: what is left of it is shown, and not indexed
