"""A task's arguments: refused at the call where they are wrong, and arriving as what is annotated."""

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from umbel.exceptions import DecodeError, EncodeError
from umbel.wire.arguments import Arguments
from umbel.wire.values import encode


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Line(msgspec.Struct):
    start: Point
    tags: set[str] = set()


class Options(TypedDict, total=False):
    size: int


class Model(pydantic.BaseModel):
    when: dt.date
    points: list[Point] = []


class Custom:
    pass


UserId = NewType("UserId", int)
NAIVE = dt.datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001 - stays naive
AWARE = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)


def arrived(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What *function* returns for arguments that have travelled."""
    arguments = Arguments("tasks.f", function)
    decoded_args, decoded_kwargs = arguments.decode(*arguments.encode(args, kwargs))
    return function(*decoded_args, **decoded_kwargs)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 1),
        (int, True),
        (int, 2**80),
        (float, 1.5),
        (str, "é"),
        (bytes, b"\x00"),
        (bool, False),
        (None, None),
        (int | None, None),
        (int | str, "a"),
        (dt.datetime, NAIVE),
        (dt.datetime, AWARE),
        (dt.date, dt.date(2026, 1, 2)),
        (dt.time, dt.time(1, 2)),
        (dt.timedelta, dt.timedelta(days=-1, microseconds=1)),
        (UUID, UUID(int=3)),
        (Decimal, Decimal("0.10")),
        (str | UUID, UUID(int=3)),
        (Colour, Colour.RED),
        (list[Colour], [Colour.RED]),
        (Point, Point(1, 2)),
        (list[Point], [Point(1), Point(2)]),
        (dict[str, Point], {"a": Point(1)}),
        (Point | None, Point(1)),
        (Line, Line(Point(1), {"a"})),
        (Options, {"size": 3}),
        (Model, Model(when=dt.date(2026, 1, 2), points=[Point(1)])),
        (list[Model], [Model(when=dt.date(2026, 1, 2))]),
        (set[int], {1, 2}),
        (frozenset[str], frozenset({"a"})),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2)),
        (Sequence[int], [1]),
        (Mapping[str, dt.date], {"a": dt.date(2026, 1, 2)}),
        (dict[dt.date, int], {dt.date(2026, 1, 2): 3}),
        (dict[int, str], {1: "a"}),
        (Literal["a", 1], "a"),
        (UserId, 7),
        (Annotated[int, msgspec.Meta(ge=0)], 7),
        (Path, Path("/a/b")),
        (Any, {1, 2}),
        (object, dt.date(2026, 1, 2)),
        (Custom, 3),
        (list[Custom], [1]),
        (Callable[[], int], "anything"),
        ("Undefined", AWARE),
    ],
)
def test_an_annotated_value_arrives_as_it_was_sent(annotation: Any, value: Any) -> None:
    def function(value: Any) -> Any:
        return value

    function.__annotations__ = {"value": annotation}
    for back in (arrived(function, value), arrived(function, value=value)):
        assert back == value
        assert type(back) is type(value)


def test_plain_data_becomes_the_annotated_type() -> None:
    def function(point: Point, when: dt.datetime, price: Decimal, ratio: float, colour: Colour, model: Model) -> Any:
        return point, when, price, ratio, colour, model

    values = ({"x": 1}, "2026-01-02T03:04:00Z", "1.10", 2, "red", {"when": "2026-01-02"})
    arrives = (Point(1), AWARE, Decimal("1.10"), 2.0, Colour.RED, Model(when=dt.date(2026, 1, 2)))
    back = arrived(function, *values)
    assert back == arrives
    assert [type(value) for value in back] == [type(value) for value in arrives]


def test_what_an_unknown_sender_tagged_becomes_the_annotated_type() -> None:
    def function(points: list[Point], days: set[dt.date]) -> Any:
        return points, days

    sender = Arguments("tasks.f", None)
    raw = sender.encode(([Point(1)], {dt.date(2026, 1, 2)}), {})
    args, _ = Arguments("tasks.f", function).decode(*raw)
    assert args == [[Point(1)], {dt.date(2026, 1, 2)}]


def test_variable_arguments_have_their_annotation_each() -> None:
    def function(*points: Point, **days: dt.date) -> Any:
        return points, days

    day = dt.date(2026, 1, 2)
    assert arrived(function, Point(1), {"x": 2}, a=day, b=day) == ((Point(1), Point(2)), {"a": day, "b": day})


def test_one_annotation_that_cannot_be_resolved_leaves_the_others() -> None:
    def function(first: "Nowhere", second: "Point") -> Any:  # type: ignore[name-defined] # noqa: F821 - on purpose
        return first, second

    assert arrived(function, 1, Point(2)) == (1, Point(2))


def two(x: int, y: int = 0, *, loud: bool = False) -> int:
    return x + y


def strict(a: int, b: int, /, c: int, *, key: int) -> int:
    return a + b + c + key


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "words"),
    [
        (two, (), {}, r"tasks\.f\(\) missing 1 required positional argument: 'x'"),
        (two, (1, 2, 3), {}, r"takes from 1 to 2 positional arguments but 3 were given"),
        (two, (1,), {"x": 2}, r"got multiple values for argument 'x'"),
        (two, (1,), {"lout": True}, r"unexpected keyword argument 'lout': did you mean 'loud'\?"),
        (strict, (1,), {"key": 1}, r"missing 2 required positional arguments: 'b' and 'c'"),
        (strict, (1, 2, 3), {}, r"missing 1 required keyword-only argument: 'key'"),
        (strict, (1,), {"b": 2, "c": 3, "key": 4}, r"unexpected keyword argument 'b'"),
        (lambda: 1, (1,), {}, r"takes 0 positional arguments but 1 was given"),
        (two, ("a",), {}, r"tasks\.f: argument 'x' of type str does not match its annotation int"),
        (two, (1,), {"y": None}, r"argument 'y' of type NoneType does not match its annotation int"),
        (two, (1, 2), {"loud": "yes"}, r"argument 'loud' of type str does not match its annotation bool"),
        (two, (object(),), {}, r"tasks\.f: argument 'x' of type object cannot travel: send plain values"),
        (lambda x: x, (Custom(),), {}, r"argument 'x' of type Custom cannot travel"),
        (lambda *xs: xs, (1, Custom()), {}, r"argument 'xs' of type Custom cannot travel"),
        (lambda **xs: xs, (), {"a": Custom()}, r"argument 'a' of type Custom cannot travel"),
        (lambda x: x, ("\ud800",), {}, r"argument 'x' of type str cannot travel"),
        (lambda x: x, ([["\ud800"]],), {}, r"argument 'x' of type str cannot travel"),
    ],
)
def test_wrong_arguments_fail_at_the_call_and_are_named(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    arguments = Arguments("tasks.f", function)
    for _ in range(2):  # the first call reads the annotations
        with pytest.raises(TypeError, match=words):
            arguments.encode(args, kwargs)


def test_wrong_values_are_encode_errors_and_wrong_calls_plain_type_errors() -> None:
    arguments = Arguments("tasks.f", two)
    with pytest.raises(EncodeError):
        arguments.encode(("a",), {})
    with pytest.raises(TypeError) as caught:
        arguments.encode((), {})
    assert not isinstance(caught.value, EncodeError)


def test_unchecked_arguments_may_be_any_that_travel() -> None:
    arguments = Arguments("tasks.f", two, checked=False)
    assert arguments.encode(("a", 1, 2), {"other": 1})[1] == b"\x81\xa5other\x01"
    with pytest.raises(EncodeError, match="number 3 of type object"):
        arguments.encode((1, 2, object()), {})


def test_a_bound_function_has_its_first_parameter_filled() -> None:
    def function(self: Any, x: int) -> int:
        return x

    arguments = Arguments("tasks.f", function, bind=True)
    assert arguments.decode(*arguments.encode((3,), {})) == ([3], {})
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        arguments.encode((), {})


def test_wrapped_functions_show_the_parameters_of_the_wrapped_one() -> None:
    @functools.wraps(two)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return two(*args, **kwargs)

    with pytest.raises(EncodeError, match="'x'"):
        Arguments("tasks.f", wrapper).encode(("a",), {})


def test_functions_that_tell_nothing_take_anything() -> None:
    assert arrived(max, 1, 2) == 2
    partial = functools.partial(two, y=5)
    assert arrived(partial, 1) == 6


@pytest.mark.parametrize(
    ("raw_args", "raw_kwargs", "words"),
    [
        (b"\xc1", b"\x80", "the arguments cannot be read"),
        (b"\x80", b"\x80", "the arguments cannot be read"),
        (b"\x90", b"\x90", "the arguments cannot be read"),
        (b"\x90", b"\x81\x01\x02", "the arguments cannot be read"),
        (b"\x91" * 100_000, b"\x80", "the arguments cannot be read"),
        (b"\x91" * 80 + b"\x90", b"\x80", "argument 'x': is nested deeper than 64"),
        (encode(["a"]), b"\x80", "argument 'x': Expected `int`"),
        (encode([1]), encode({"y": "a"}), "argument 'y': Expected `int`"),
        (encode([[1]]), b"\x80", "argument 'x'"),
    ],
)
def test_hostile_arguments_are_a_decode_error_that_names_the_parameter(
    raw_args: bytes, raw_kwargs: bytes, words: str
) -> None:
    with pytest.raises(DecodeError, match=words):
        Arguments("tasks.f", two).decode(raw_args, raw_kwargs)


def test_a_depth_that_may_be_sent_may_arrive() -> None:
    deepest: Any = 1
    for _ in range(63):
        deepest = [deepest]
    assert arrived(lambda x: x, deepest) == deepest
    assert arrived(lambda x: x, [deepest]) == [deepest]
    with pytest.raises(EncodeError, match="'x' is nested deeper than 64"):
        arrived(lambda x: x, [[deepest]])


def test_results_arrive_as_the_annotated_type_if_they_fit_it() -> None:
    def function() -> Point:
        return Point(1)

    arguments = Arguments("tasks.f", function)
    assert arguments.decode_result(arguments.encode_result(Point(1))) == Point(1)
    assert arguments.decode_result(arguments.encode_result("a text after all")) == "a text after all"
    assert Arguments("tasks.f", None).decode_result(arguments.encode_result(Point(1))) == {"x": 1, "y": 0}
    with pytest.raises(EncodeError, match=r"the result of tasks\.f of type object cannot travel"):
        arguments.encode_result(object())


def test_a_pydantic_model_that_refuses_is_named() -> None:
    def function(model: Model) -> Any:
        return model

    with pytest.raises(EncodeError, match="argument 'model' of type dict does not match its annotation Model"):
        arrived(function, {"when": "some day"})
