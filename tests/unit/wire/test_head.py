"""What is read of a value that is too large to be decoded."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.wire.head import MAX_PARTS, head
from umbel.wire.values import encode

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=4), inner, max_size=20)
)


def begun(value: Any, characters: int = 1_000, items: int = 100, depth: int = 40) -> Any:
    return head(msgspec.msgpack.encode(value), characters, items, depth)


@given(VALUES)
def test_what_is_small_enough_is_read_as_it_is(value: Any) -> None:
    assert begun(value) == value


@given(st.binary(max_size=200))
def test_damage_is_told_and_nothing_worse(damaged: bytes) -> None:
    try:
        head(damaged, 10, 10, 10)
    except ValueError:
        return


def test_what_is_long_is_read_from_its_beginning_and_what_stands_behind_it_too() -> None:
    assert begun(["x" * 2_000, 7]) == ["x" * 1_000 + "… 1,000 more bytes", 7]
    assert begun([list(range(300)), 7]) == [[*range(100), "… 200 more"], 7]
    assert begun([{str(n): [n] for n in range(101)}, 7]) == [{**{str(n): [n] for n in range(100)}, "…": "… 1 more"}, 7]
    assert begun([b"x" * 2_000, [[[1]]], 7], depth=2) == ["<2,000 bytes>", ["…"], 7]
    assert head(encode([dt.date(2026, 11, 27), set(range(5_000)), 7]), 9, 9, 9)[::2] == [dt.date(2026, 11, 27), 7]
    assert begun("é" * 3, 3) == "é… 3 more bytes"  # half a character is none


@pytest.mark.parametrize("large", [list(range(10**6)), {str(n): [n, [n]] for n in range(10**5)}, [[[]]] * 10**5])
def test_no_value_is_so_large_that_much_of_it_is_read(large: Any) -> None:
    first, rest = begun([large, 7])
    assert len(first) == 101
    assert rest == "… 1 more"  # where it begins, nobody has looked
    assert MAX_PARTS < 10**5
