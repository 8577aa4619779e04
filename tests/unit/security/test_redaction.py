"""What events show of values: no secrets, nothing long, nothing deep, and always JSON."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from umbel.security.redaction import HIDDEN, MAX_CHARACTERS, MAX_ITEMS, MAX_READ_BYTES, MAX_SHOWN, Redaction, Sketch
from umbel.wire.values import encode, pack, to_wire

usual = Redaction()


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(pack(to_wire(value)))


def shown(value: object, rule: Redaction = usual) -> Any:
    return json.loads(rule.value(encode(value)))


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "user_password", "api_key", "APIKEY", "accessToken", "Authorization", "card_number"],
)
def test_a_value_is_hidden_by_its_name(name: str) -> None:
    assert json.loads(usual.kwargs(raw({name: "s3cret", "city": "Rome"}))) == {name: HIDDEN, "city": "Rome"}


def test_names_are_looked_at_at_any_depth() -> None:
    assert shown({"user": [{"name": "joe", "token": {"a": 1}}]}) == {"user": [{"name": "joe", "token": HIDDEN}]}


def test_a_positional_argument_is_hidden_by_the_name_of_its_parameter() -> None:
    sketch = Sketch(names=("user", "password", "pin"), hidden=("pin",))
    assert json.loads(usual.args(raw(["joe", "a", "1234", "more"]), sketch)) == ["joe", HIDDEN, HIDDEN, "more"]


def test_what_a_task_hides_is_hidden_where_it_is_given_by_name() -> None:
    assert json.loads(usual.kwargs(raw({"pin": 1, "n": 2}), Sketch(hidden=("pin",)))) == {"pin": HIDDEN, "n": 2}


def test_words_of_the_user_hide_as_well_and_are_no_patterns() -> None:
    rule = Redaction(["tax.id", ""])
    assert shown({"my_tax.id": 1, "taxXid": 2, "password": 3}, rule) == {
        "my_tax.id": HIDDEN,
        "taxXid": 2,
        "password": HIDDEN,
    }


def test_plain_arguments_are_shown_as_they_are() -> None:
    assert json.loads(usual.args(raw([1, -2.5, "text", None, True]))) == [1, -2.5, "text", None, True]
    assert (usual.args(raw([])), usual.kwargs(raw({}))) == ("[]", "{}")


def test_long_text_is_shortened() -> None:
    text = shown("x" * 5000)
    assert text == "x" * MAX_CHARACTERS + "… 3,976 more characters"


def test_many_items_are_counted_not_shown() -> None:
    assert shown(list(range(150)))[MAX_ITEMS:] == ["… 50 more"]
    assert len(shown({str(number): number for number in range(150)})) == MAX_ITEMS + 1
    assert json.loads(usual.args(raw(list(range(101)))))[-1] == "… 1 more"


def test_what_is_deep_is_cut_off() -> None:
    value: Any = "bottom"
    for _ in range(30):
        value = [value]
    assert "…" in usual.value(encode(value))
    assert "bottom" not in usual.value(encode(value))


def test_all_of_it_is_bounded() -> None:
    text = usual.value(encode([["x" * 1000] * 100] * 100))
    assert len(text) <= MAX_SHOWN + 100
    json.loads(text)


def test_of_what_is_huge_the_beginning_is_shown_and_secrets_in_it_are_hidden() -> None:
    huge = "x" * MAX_READ_BYTES
    assert shown(huge).startswith("xxx")
    assert shown(huge).endswith("x… 261,184 more bytes")
    named = Sketch(("order", "pin"), ("pin",))
    assert json.loads(usual.args(raw([huge, "1234", 7]), named))[1:] == [HIDDEN, 7]
    told = json.loads(usual.kwargs(raw({"password": huge, "deep": {"token": "t", "n": 1}, "text": huge})))
    assert (told["password"], told["deep"]) == (HIDDEN, {"token": HIDDEN, "n": 1})
    numbers = json.loads(usual.args(raw([list(range(MAX_READ_BYTES)), 7])))
    assert numbers[0][:3] == [0, 1, 2]
    assert numbers[0][-1].endswith(" more")
    assert len(usual.kwargs(raw({str(number): huge for number in range(30)}))) <= MAX_SHOWN + 100


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00\xff", "<2 bytes>"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (2**70, str(2**70)),
        (float("nan"), None),
        ({1}, [1]),
    ],
)
def test_other_values_are_shown_as_text(value: object, text: object) -> None:
    assert shown(value) == text


def test_damaged_bytes_are_told_as_such() -> None:
    assert "cannot be read" in usual.value(b"\xc1")
    assert "cannot be read" in usual.args(msgspec.Raw(b"\x92\x01"))
