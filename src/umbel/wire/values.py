"""Values as msgpack and back: what msgpack lacks travels as a tagged extension and comes back as it was."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

from umbel.exceptions import DecodeError, EncodeError

MAX_DEPTH: Final = 64
PLAIN: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None), bytes})
TAGGED: Final[frozenset[type]] = frozenset({dt.datetime, dt.date, dt.time, dt.timedelta, UUID, Decimal, set, frozenset})
_SPECIAL: Final = (dt.datetime, dt.date, dt.time, dt.timedelta, UUID, Decimal, bytes, bytearray)
_CONTAINERS: Final = frozenset({list, tuple, dict, set, frozenset})

_DATETIME, _DATE, _TIME, _TIMEDELTA, _UUID, _DECIMAL, _SET, _FROZENSET, _INTEGER, _PAIRS = range(1, 11)

_pack: Final = msgspec.msgpack.Encoder().encode
_any: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(ext_hook=lambda code, data: extension(code, data))  # noqa: PLW0108 - it is defined below
_DAMAGED: Final = (msgspec.MsgspecError, ValueError, TypeError, ArithmeticError, RecursionError)


def encode(value: object) -> bytes:
    """*value* as msgpack. Raises `EncodeError` with a text that starts with the type and says what travels instead."""
    if type(value) in PLAIN:
        return _packed(value)
    return _packed(to_wire(value))


def decode(raw: bytes | msgspec.Raw) -> Any:
    """The value in *raw*, untrusted. Raises `DecodeError`."""
    try:
        value = _any.decode(raw)
    except _DAMAGED as error:
        raise DecodeError(f"not a value: {message_of(error)}") from error
    check_depth(value)
    return value


def to_wire(value: object, room: int = MAX_DEPTH) -> object:
    """*value* made of what msgpack and the tags can carry, *room* containers deep at most. Raises `EncodeError`."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if room <= 0 and not isinstance(value, Enum):
        raise EncodeError(f"is nested deeper than {MAX_DEPTH} levels, or contains itself")
    tag = _TAGS.get(kind)
    if tag is not None:
        return tag(value, room)
    for base, convert in _BY_BASE:
        if isinstance(value, base):
            return convert(value, room)
    return _structured(value, room)


def check_depth(value: object) -> None:
    """Raise `DecodeError` when *value* holds containers in containers more than `MAX_DEPTH` deep."""
    level: list[object] = [value] if type(value) in _CONTAINERS else []
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise DecodeError(f"is nested deeper than {MAX_DEPTH} levels")
        inner: list[Any] = []
        for holder in level:
            inner += [item for item in _items(holder) if type(item) in _CONTAINERS]
        level = inner


def _items(holder: Any) -> Iterable[Any]:
    return holder.values() if holder.__class__ is dict else holder


def extension(code: int, data: memoryview) -> object:
    """The value of a tagged extension; what msgspec calls while it decodes. Raises what the value's type raises."""
    read = _READERS.get(code)
    if read is None:
        raise ValueError(f"unknown extension type {code}")
    return read(bytes(data))


def message_of(error: Exception) -> str:
    """What *error* says, or its class if it says nothing."""
    return str(error) or type(error).__name__


def is_made_of_text(kind: object) -> bool:
    """Tell whether *kind* is a class of paths: they travel as text."""
    return isinstance(kind, type) and issubclass(kind, PurePath)


def is_pydantic(kind: object) -> bool:
    """Tell whether *kind* is a pydantic model class, without importing pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def _packed(wire: object) -> bytes:
    try:
        return _pack(wire)
    except OverflowError:
        return _pack(_with_large_integers(wire))
    except UnicodeEncodeError as error:
        raise EncodeError(f"of type str cannot travel: {error}") from error


def pack(wire: object) -> bytes:
    """The msgpack of what `to_wire` made, whatever the size of its integers. Raises `EncodeError`."""
    return _packed(wire)


def _list(value: Any, room: int) -> object:
    # The usual list is flat and plain: looked at in C, and not copied.
    if PLAIN.issuperset(map(type, value)):
        return value
    return [to_wire(item, room - 1) for item in value]


def _dict(value: Any, room: int) -> object:
    if PLAIN.issuperset(map(type, value)) and PLAIN.issuperset(map(type, value.values())):
        return value
    if PLAIN.issuperset(map(type, value)):
        return {key: to_wire(item, room - 1) for key, item in value.items()}
    pairs = [(to_wire(key, room - 1), to_wire(item, room - 1)) for key, item in value.items()]
    if all(type(key) in PLAIN for key, _ in pairs):
        return dict(pairs)
    return Ext(_PAIRS, _packed(pairs))


def _set(value: Any, room: int) -> object:
    code = _FROZENSET if issubclass(type(value), frozenset) else _SET
    return Ext(code, _packed([to_wire(item, room - 1) for item in value]))


def _structured(value: object, room: int) -> object:
    """A dataclass, Struct, attrs or pydantic object as a map of its fields."""
    kind = type(value)
    if is_pydantic(kind):
        return to_wire(_dumped(value), room)
    if not (isinstance(value, msgspec.Struct) or is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")):
        raise EncodeError(_cannot_travel(kind))
    try:
        plain = msgspec.to_builtins(value, builtin_types=_SPECIAL, enc_hook=_inner)
    except (TypeError, RecursionError) as error:
        raise EncodeError(f"of type {kind.__qualname__} cannot travel: {error}") from error
    return to_wire(plain, room)


def _inner(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    if is_pydantic(type(value)):
        return _dumped(value)
    raise TypeError(f"a value in it {_cannot_travel(type(value))}")


def _dumped(model: Any) -> object:
    return model.model_dump()


def _cannot_travel(kind: type[object]) -> str:
    return (
        f"of type {kind.__qualname__} cannot travel: send plain values, dates, UUID, Decimal, lists, dicts, sets, "
        "enums, dataclasses or Structs of them, or an id by which the task can find it"
    )


def _with_large_integers(wire: Any) -> object:
    """*wire* with each integer that msgpack cannot hold as a tagged extension."""
    if type(wire) is int:
        small = -(2**63) <= wire < 2**64
        return wire if small else Ext(_INTEGER, wire.to_bytes(wire.bit_length() // 8 + 1, "big", signed=True))
    kind = wire.__class__
    if issubclass(kind, list | tuple):
        return [_with_large_integers(item) for item in wire]
    if not issubclass(kind, dict):
        return wire
    pairs = [(_with_large_integers(key), _with_large_integers(item)) for key, item in wire.items()]
    if all(type(key) in PLAIN for key, _ in pairs):
        return dict(pairs)
    return Ext(_PAIRS, _pack(pairs))


def _text(code: int, write: Callable[[Any], str]) -> Callable[[Any, int], object]:
    return lambda value, _room: Ext(code, write(value).encode())


_Writer = Callable[[Any, int], object]
_datetime: Final = _text(_DATETIME, dt.datetime.isoformat)
_TAGS: Final[dict[type, _Writer]] = {
    list: _list,
    tuple: _list,
    dict: _dict,
    set: _set,
    frozenset: _set,
    dt.datetime: _datetime,
    dt.date: _text(_DATE, dt.date.isoformat),
    dt.time: _text(_TIME, dt.time.isoformat),
    dt.timedelta: lambda value, _room: Ext(_TIMEDELTA, _pack((value.days, value.seconds, value.microseconds))),
    UUID: lambda value, _room: Ext(_UUID, value.bytes),
    Decimal: _text(_DECIMAL, str),
    bytearray: lambda value, _room: bytes(value),
    memoryview: lambda value, _room: bytes(value),
}
# Subclasses travel as what they are built on. Enum first: an IntEnum is an int too; datetime before date.
_BY_BASE: Final[tuple[tuple[type, _Writer], ...]] = (
    (Enum, lambda value, room: to_wire(value.value, room)),
    (str, lambda value, _room: str.__str__(value)),
    (int, lambda value, _room: int.__int__(value)),
    (float, lambda value, _room: float.__float__(value)),
    (bytes, lambda value, _room: bytes(value)),
    (dict, _dict),
    (list, _list),
    (tuple, _list),
    (set, _set),
    (frozenset, _set),
    (dt.datetime, _datetime),
    (dt.date, _TAGS[dt.date]),
    (dt.timedelta, _TAGS[dt.timedelta]),
    (UUID, _TAGS[UUID]),
    (PurePath, lambda value, _room: str(value)),
    (Decimal, _TAGS[Decimal]),
)


def _pairs(data: bytes) -> object:
    return {tuple(key) if issubclass(type(key), list) else key: value for key, value in _any.decode(data)}


_READERS: Final[dict[int, Callable[[bytes], object]]] = {
    _DATETIME: lambda data: dt.datetime.fromisoformat(data.decode()),
    _DATE: lambda data: dt.date.fromisoformat(data.decode()),
    _TIME: lambda data: dt.time.fromisoformat(data.decode()),
    _TIMEDELTA: lambda data: dt.timedelta(*_any.decode(data)),
    _UUID: lambda data: UUID(bytes=data),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _SET: lambda data: set(_any.decode(data)),
    _FROZENSET: lambda data: frozenset(_any.decode(data)),
    _INTEGER: lambda data: int.from_bytes(data, "big", signed=True),
    _PAIRS: _pairs,
}
