"""Values travel and come back as what they were."""

import contextlib
import datetime as dt
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.exceptions import DecodeError, EncodeError
from umbel.wire.values import MAX_DEPTH, decode, encode

HOUR = dt.timezone(dt.timedelta(hours=5, minutes=30))


class Pair(NamedTuple):
    left: int
    right: int


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


@dataclass
class Point:
    x: int
    when: dt.datetime


class Line(msgspec.Struct):
    a: Point
    tags: set[str]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.dates() | st.datetimes() | st.timedeltas() | st.uuids() | st.times()
    | st.decimals(allow_nan=False) | st.datetimes(timezones=st.just(HOUR)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.uuids(), inner),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_plain_and_tagged_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    back = decode(encode(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, "a"), [1, "a"]),
        ({1, 2}, {1, 2}),
        (frozenset({1}), frozenset({1})),
        ({(1, 2): "pair"}, {(1, 2): "pair"}),
        ({dt.date(2026, 1, 2): 1}, {dt.date(2026, 1, 2): 1}),
        ({frozenset({1}): 2**70}, {frozenset({1}): 2**70}),
        (Colour.RED, "red"),
        ([Level.HIGH], [3]),
        (Text("a"), "a"),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (PurePosixPath("/a/b"), "/a/b"),
        (Pair(1, 2), [1, 2]),
        (OrderedDict(a=dt.date(2026, 1, 2)), {"a": dt.date(2026, 1, 2)}),
        (defaultdict(list, {"a": [1]}), {"a": [1]}),
        ({Colour.RED: 1}, {"red": 1}),
        (Point(1, dt.datetime(2026, 1, 2)), {"x": 1, "when": dt.datetime(2026, 1, 2)}),  # noqa: DTZ001 - stays naive
        ([2**64, -(2**63) - 1, 2**200], [2**64, -(2**63) - 1, 2**200]),
        ({"a": {"b": [2**64]}}, {"a": {"b": [2**64]}}),
        (dt.datetime(2026, 1, 2, tzinfo=HOUR), dt.datetime(2026, 1, 2, tzinfo=HOUR)),
        (UUID(int=5), UUID(int=5)),
        (Decimal("1.10"), Decimal("1.10")),
    ],
)
def test_a_value_arrives_as(value: Any, arrives: Any) -> None:
    back = decode(encode(value))
    assert back == arrives
    assert type(back) is type(arrives)


def test_a_zone_keeps_its_offset() -> None:
    back = decode(encode(dt.datetime(2026, 1, 2, tzinfo=HOUR)))
    assert back.utcoffset() == dt.timedelta(hours=5, minutes=30)


def test_a_struct_travels_as_a_map_of_its_fields() -> None:
    line = Line(Point(1, dt.datetime(2026, 1, 2, tzinfo=dt.UTC)), {"a"})
    assert decode(encode(line)) == {"a": {"x": 1, "when": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)}, "tags": ["a"]}


@pytest.mark.parametrize("value", [object(), lambda: 1, open, ValueError("x"), [object()], {"a": {1: object()}}, 1j])
def test_what_cannot_travel_is_refused_with_its_type(value: Any) -> None:
    with pytest.raises(EncodeError, match=r"of type .* cannot travel: send plain values"):
        encode(value)


def test_a_dataclass_that_holds_what_cannot_travel_is_refused() -> None:
    with pytest.raises(EncodeError, match="of type Point cannot travel: a value in it of type object cannot travel"):
        encode(Point(1, object()))  # type: ignore[arg-type] # wrong on purpose


def test_half_a_character_is_refused() -> None:
    with pytest.raises(EncodeError, match="surrogates"):
        encode("\ud800")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_depth_has_a_limit_both_ways() -> None:
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(EncodeError, match="deeper than 64"):
        encode(nested(MAX_DEPTH + 1))
    with pytest.raises(DecodeError, match="deeper than 64"):
        decode(b"\x91" * MAX_DEPTH + b"\x90")


def test_a_list_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(EncodeError, match="contains itself"):
        encode(value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x91" * 100_000,
        b"\xc1",
        b"\x91",
        b"\xa1\xff",
        msgspec.msgpack.encode(msgspec.msgpack.Ext(1, b"yesterday")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(6, b"many")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"short")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(7, b"\x91\x90")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(10, b"\x91\x91\x01")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(4, b"\x93\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00\x00\x00")),
        msgspec.msgpack.encode(msgspec.msgpack.Ext(99, b"?")),
    ],
)
def test_damaged_bytes_are_a_decode_error(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(raw)


@given(st.binary(max_size=60))
def test_random_bytes_are_a_value_or_a_decode_error(raw: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(raw)


def test_sets_in_sets_in_sets_end_in_a_decode_error() -> None:
    raw = b"\x90"
    for _ in range(2000):
        raw = msgspec.msgpack.encode(msgspec.msgpack.Ext(8, b"\x91" + raw))
    with pytest.raises(DecodeError):
        decode(raw)
