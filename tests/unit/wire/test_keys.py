"""Keys: equal values have one text, whatever order they were made in; different ones do not share one."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.exceptions import EncodeError
from umbel.wire.keys import MAX_LENGTH, key_text

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


class Colour(Enum):
    RED = "red"


@dataclass
class Place:
    region: str
    tags: frozenset[str]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("acme", "acme"),
        ("a.b/c:d@e-1", "a.b/c:d@e-1"),
        ("5", '"5"'),
        (5, "5"),
        ("true", '"true"'),
        (True, "true"),
        ("", '""'),
        ("two words", '"two words"'),
        (None, "null"),
        (("eu", 1), '["eu",1]'),
        (["eu", 1], '["eu",1]'),
        ({"b": 1, "a": {"d": 2, "c": 3}}, '{"a":{"c":3,"d":2},"b":1}'),
        ({1: "x", "1": "y"}, '[["1","y"],[1,"x"]]'),
        ({"b", "a", "c"}, '["a","b","c"]'),
        ({1, "x"}, '["x",1]'),
        (2**70, str(2**70)),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.50"), '"1.50"'),
        (dt.date(2026, 11, 27), '"2026-11-27"'),
        (Colour.RED, '"red"'),
        (PurePosixPath("/srv/x"), '"/srv/x"'),
        (Place("eu", frozenset({"b", "a"})), '{"region":"eu","tags":["a","b"]}'),
    ],
)
def test_values_have_a_text(value: Any, text: str) -> None:
    assert key_text(value) == text


@given(plain, plain)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    assert (key_text(one) == key_text(other)) == (repr(one) == repr(other) or _sorted(one) == _sorted(other))


def _sorted(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{_sorted(item)}" for key, item in sorted(value.items())) + "}"
    return "[" + ",".join(map(_sorted, value)) + "]" if isinstance(value, list) else repr(value)


def test_the_order_of_a_set_changes_nothing() -> None:
    one, other = {0, 8}, {8, 0}  # both have the same place in a small table, so the first to come is the first
    assert list(one) != list(other)
    assert key_text({"x": one}) == key_text({"x": other})


def test_a_long_text_ends_in_a_hash_of_the_whole() -> None:
    one, other = key_text("x" * 10_000 + "a"), key_text("x" * 10_000 + "b")
    assert one != other
    assert one[:40] == other[:40]
    assert len(one) <= MAX_LENGTH


def test_what_has_no_text_is_refused_by_its_type() -> None:
    with pytest.raises(EncodeError, match="of type object cannot be a key"):
        key_text(object())
