from __future__ import annotations

import sys
import types

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.exceptions import Reject, Retry, TaskError
from umbel.model.failure import MAX_CHAIN, MAX_MESSAGE_CHARACTERS, MAX_TRACEBACK_CHARACTERS, Failure, capture, rebuild


class Plain(Exception):
    pass


class Demanding(Exception):
    """Its constructor cannot be called with its args."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Outer:
    class Inner(Exception):
        """A class inside another."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def caught(exception: BaseException) -> Failure:
    """What is captured of an exception that was really raised."""
    try:
        raise exception
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return capture(error)


def travelled(exception: BaseException) -> Exception:
    """The exception after a journey through bytes."""
    body = msgspec.msgpack.encode(caught(exception))
    return rebuild(msgspec.msgpack.decode(body, type=Failure))


@pytest.mark.parametrize(
    "exception",
    [
        ValueError("bad", 3),
        KeyError("key"),
        OSError(2, "no such file"),
        ZeroDivisionError(),
        Plain("x", None, 1.5, True),
    ],
)
def test_an_exception_travels_with_its_type_and_arguments(exception: Exception) -> None:
    again = travelled(exception)
    assert type(again) is type(exception)
    assert again.args == exception.args


def test_a_class_inside_another_is_found() -> None:
    assert type(travelled(Outer.Inner("x"))) is Outer.Inner


def test_a_constructor_that_needs_more_is_not_called() -> None:
    again = travelled(Demanding(7, text="seven"))
    assert type(again) is Demanding
    assert str(again) == "7: seven"
    assert not hasattr(again, "code")


def test_a_unicode_error_survives_though_its_constructor_is_strict() -> None:
    assert isinstance(travelled(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")), UnicodeDecodeError)


def test_the_traceback_is_kept_as_text() -> None:
    failure = caught(ValueError("bad"))
    assert "in caught" in failure.traceback
    assert failure.traceback.rstrip().endswith("ValueError: bad")


def test_causes_and_notes_travel() -> None:
    error = ValueError("outer")
    error.add_note("remember")
    error.__cause__ = OSError("inner")
    again = travelled(error)
    assert isinstance(again.__cause__, OSError)
    assert again.__notes__ == ["remember"]


def test_the_context_counts_as_a_cause_unless_it_is_suppressed() -> None:
    shown, hidden = ValueError("shown"), ValueError("hidden")
    shown.__context__ = hidden.__context__ = OSError("first")
    hidden.__suppress_context__ = True
    first = capture(shown).cause
    assert first is not None
    assert first.type == "OSError"
    assert capture(hidden).cause is None


def test_a_long_chain_of_causes_is_cut() -> None:
    error: Exception = ValueError("last")
    for number in range(50):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    failure: Failure | None = capture(error)
    length = 0
    while failure is not None:
        failure, length = failure.cause, length + 1
    assert length == MAX_CHAIN + 1


def test_a_chain_that_bites_its_tail_is_cut() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    assert rebuild(capture(first)).args == (1,)


def test_an_exception_that_cannot_be_shown_is_still_captured() -> None:
    failure = caught(Unspeakable("x"))
    assert failure.type == "Unspeakable"
    assert "cannot be shown" in failure.message


def test_long_messages_and_tracebacks_are_cut() -> None:
    failure = caught(ValueError("x" * 10 * MAX_TRACEBACK_CHARACTERS))
    assert len(failure.message) == MAX_MESSAGE_CHARACTERS
    assert "characters left out" in failure.traceback
    assert len(failure.traceback) <= MAX_TRACEBACK_CHARACTERS  # or who reads it cuts it again, with another number
    assert sum(len(str(each)) for each in failure.args) <= MAX_MESSAGE_CHARACTERS


def test_arguments_that_are_not_plain_become_the_message() -> None:
    failure = caught(ValueError(object()))
    assert failure.args == [failure.message]


@pytest.mark.parametrize("value", ["\ud800", 2**64, -(2**63) - 1, float("nan"), "x" * 100_000, b"\xff", ["list"]])
def test_whatever_the_arguments_are_the_failure_can_be_encoded(value: object) -> None:
    assert isinstance(travelled(ValueError(value)), ValueError)


@given(st.text())
def test_any_message_can_be_encoded(text: str) -> None:
    assert isinstance(
        rebuild(msgspec.msgpack.decode(msgspec.msgpack.encode(capture(ValueError(text))), type=Failure)), ValueError
    )


def test_an_unknown_class_becomes_a_task_error_that_names_it() -> None:
    again = rebuild(Failure("Gone", "some.module", "it broke"))
    assert type(again) is TaskError
    assert again.exc_type == "some.module.Gone"
    assert str(again) == "Gone: it broke"


def test_a_registered_class_is_used_under_its_full_name_only() -> None:
    registered: dict[str, type[Exception]] = {"some.module.Gone": Plain}
    assert type(rebuild(Failure("Gone", "some.module", "", ["x"]), registered)) is Plain
    assert type(rebuild(Failure("Gone", "other.module", "", ["x"]), registered)) is TaskError


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "SystemExit"),
        ("builtins", "KeyboardInterrupt"),
        ("builtins", "BaseException"),
        ("builtins", "int"),
        ("builtins", ""),
        ("", ""),
        ("sys", "modules.os.system"),
        ("subprocess", "Popen"),
        ("builtins", "ValueError.mro"),
    ],
)
def test_nothing_but_an_exception_class_comes_out_of_a_message(module: str, name: str) -> None:
    assert type(rebuild(Failure(name, module, "text", ["touch /tmp/owned"]))) is TaskError


def test_no_module_is_imported_for_a_message() -> None:
    assert "this" not in sys.modules
    assert type(rebuild(Failure("Anything", "this", ""))) is TaskError
    assert "this" not in sys.modules


def test_the_getattr_of_a_module_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("lazy_module")
    asked: list[str] = []
    module.__getattr__ = asked.append  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy_module", module)
    assert type(rebuild(Failure("Missing", "lazy_module", ""))) is TaskError
    assert asked == []


def test_the_constructor_of_a_class_is_not_called() -> None:
    made: list[object] = []

    class Watched(Exception):
        def __new__(cls, *args: object) -> Watched:
            made.append(args)
            return super().__new__(cls, *args)

        def __init__(self, *args: object) -> None:
            made.append(args)

    failure = Failure("Watched", "some.module", "", ["x"])
    assert type(rebuild(failure, {"some.module.Watched": Watched})) is Watched
    assert made == []


def test_a_failure_is_shown_like_the_last_line_of_a_traceback() -> None:
    assert str(Failure("ValueError", "builtins", "bad")) == "ValueError: bad"
    assert str(Failure("ValueError", "builtins", "")) == "ValueError"


def test_what_steers_a_job_can_be_shown_after_a_journey() -> None:
    assert [str(travelled(error)) for error in (Reject("thrown away"), Reject(), Retry(), Retry("x", when=3))] == [
        "thrown away",
        "",
        "Retry",
        "Retry",
    ]
