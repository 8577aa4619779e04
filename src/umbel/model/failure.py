"""An exception as data: captured where it was raised, rebuilt only from classes that are already loaded."""

from __future__ import annotations

import sys
import traceback
from typing import Any, Final

import msgspec

from umbel.exceptions import TaskError

MAX_TRACEBACK_CHARACTERS: Final = 64 * 1024
MAX_MESSAGE_CHARACTERS: Final = 16 * 1024
NOTE_CHARACTERS: Final = 64
"""Room for the words on what is left out: a text that keeps to the limit with them is not cut once more, wrongly."""
MAX_CHAIN: Final = 8
_PLAIN: Final = (str, int, float, bool, type(None))
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception as data. *args* are its plain arguments only; *cause* is the exception it was raised from."""

    type: str
    module: str
    message: str
    args: list[str | int | float | bool | None] = []
    notes: list[str] = []
    traceback: str = ""
    cause: Failure | None = None

    def __str__(self) -> str:
        """Show it as the last line of a traceback does."""
        return f"{self.type}: {self.message}" if self.message else self.type


def capture(exception: BaseException, depth: int = 0) -> Failure:
    """Turn *exception* into data that can travel; never raises, whatever the exception's own methods do."""
    try:
        return _captured(exception, depth)
    except Exception:  # noqa: BLE001 - its own args or notes are broken: its class must do
        found = type(exception)
        return Failure(found.__qualname__, str(found.__module__), f"<{found.__qualname__} that cannot be shown>")


def _captured(exception: BaseException, depth: int) -> Failure:
    cause = exception.__cause__ or (None if exception.__suppress_context__ else exception.__context__)
    text = _text(exception)[:MAX_MESSAGE_CHARACTERS]
    args = exception.args
    plain = [_clean(value) if isinstance(value, str) else value for value in args if _is_plain(value)]
    return Failure(
        type=type(exception).__qualname__,
        module=str(type(exception).__module__),
        message=text,
        args=plain if len(plain) == len(args) and _small(plain) else [text],
        notes=[_clean(str(note)) for note in getattr(exception, "__notes__", ())][:16],
        traceback=traceback_of(exception) if depth == 0 else "",
        cause=capture(cause, depth + 1) if cause is not None and depth < MAX_CHAIN else None,
    )


def rebuild(failure: Failure, registered: dict[str, type[Exception]] | None = None) -> Exception:
    """Make the original exception again, without its ``__init__``, or a TaskError that names it.

    The class must be a subclass of Exception that is built in, in *registered* (``module.Qualname`` to class) or in a
    module already loaded here. Nothing is imported and nothing is called by a name out of a message.
    """
    found = _loaded(failure, registered or {})
    exception: Exception
    if found is None:
        exception = TaskError(str(failure))
        exception.exc_type = f"{failure.module}.{failure.type}"
    else:
        exception = _without_init(found, failure)
    for note in failure.notes:
        exception.add_note(note)
    if failure.cause is not None:
        exception.__cause__ = rebuild(failure.cause, registered)
    return exception


def _loaded(failure: Failure, registered: dict[str, type[Exception]]) -> type[Exception] | None:
    named = registered.get(f"{failure.module}.{failure.type}")
    if named is not None:
        return named
    found: Any = sys.modules.get(failure.module)
    for part in failure.type.split("."):
        # vars(), not getattr(): a module's __getattr__ would run code by a name out of a message.
        found = vars(found).get(part) if isinstance(found, type) or hasattr(found, "__dict__") else None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _without_init(found: type[Exception], failure: Failure) -> Exception:
    # A user's __new__ is code as well: take the constructor of the nearest class that comes with Python.
    native: Any = next(base for base in found.__mro__ if base.__module__ == "builtins")
    try:
        exception: Exception = native.__new__(found, *failure.args)
    except TypeError:
        exception = native.__new__(found)
    exception.args = tuple(failure.args)
    return exception


def _is_plain(value: object) -> bool:
    # Exactly these types: msgpack refuses their subclasses, and integers beyond 64 bits.
    return type(value) in _PLAIN and (not isinstance(value, int) or _MIN_INT <= value <= _MAX_INT)


def _clean(text: str) -> str:
    """*text* as nothing but a str, with half characters, which cannot be encoded, written out."""
    return str.encode(text, "utf-8", "backslashreplace").decode()


def _text(exception: BaseException) -> str:
    try:
        return _clean(str(exception))
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return f"<{type(exception).__qualname__} whose text cannot be shown>"


def _small(values: list[Any]) -> bool:
    return sum(len(value) for value in values if isinstance(value, str)) <= MAX_MESSAGE_CHARACTERS


def traceback_of(exception: BaseException) -> str:
    """Its traceback as text, the middle of a long one left out."""
    try:
        text = _clean("".join(traceback.format_exception(exception)))
    except Exception:  # noqa: BLE001 - see _text
        return f"{type(exception).__qualname__} (traceback cannot be shown)"
    if len(text) <= MAX_TRACEBACK_CHARACTERS:
        return text
    half = (MAX_TRACEBACK_CHARACTERS - NOTE_CHARACTERS) // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
