"""The index of arguments: which (path, value) pairs a job can be found by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from umbel.history.bounds import MAX_NAME

T = TypeVar("T")
Scalar: TypeAlias = str | int | float | bool | None

MAX_DEPTH: Final = 4
MAX_LEAVES: Final = 32
MAX_TEXT: Final = 128
MASKED: Final = "***"
_LIST: Final = msgspec.json.Decoder(list[Any])
_MAPPING: Final = msgspec.json.Decoder(dict[str, Any])


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
    return value is None or isinstance(value, bool | int | float)


def leaves(args: str | None, kwargs: str | None, headers: str | None, parameters: Sequence[str]) -> dict[str, Scalar]:
    """Up to 32 paths with their values: ``args.0``, ``arg.<parameter>`` however it was passed, ``header.<name>``."""
    found: dict[str, Scalar] = {}
    given = (_read(args, _LIST), _read(kwargs, _MAPPING), _read(headers, _MAPPING))
    for path, value in _everything(*given, parameters):
        if len(found) >= MAX_LEAVES:
            break
        if indexable(value) and len(path) <= MAX_NAME:
            found[path.replace("\0", "␀")] = value
    return found


def _everything(
    args: list[Any] | None, kwargs: dict[str, Any] | None, headers: dict[str, Any] | None, parameters: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    yield from _within("arg", kwargs or {}, 1)
    for name, value in zip(parameters, args or (), strict=False):
        yield from _within(f"arg.{name}", value, 2)
    yield from _within("args", args or [], 1)
    yield from _within("header", headers or {}, 1)


def _within(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict | list):
        yield path, value
    elif depth <= MAX_DEPTH:
        for key, each in islice(_inside(value), MAX_LEAVES):
            yield from _within(f"{path}.{key}", each, depth + 1)


def _inside(value: Any) -> Iterable[tuple[Any, Any]]:
    if hasattr(value, "items"):
        pairs: Iterable[tuple[Any, Any]] = value.items()
        return pairs
    items: list[Any] = value
    return enumerate(items)


def _read(told: str | None, decoder: msgspec.json.Decoder[T]) -> T | None:
    if not told:
        return None
    try:
        return decoder.decode(told)
    except (msgspec.MsgspecError, RecursionError):
        return None  # it was shortened: what is left of it is shown, and not indexed
