"""What others told, made safe to store: bounded, of one type, without characters that a database refuses."""

from __future__ import annotations

import math
from typing import Any, Final

FUTURE_SECONDS: Final = 60.0
"""How far ahead of the recorder's clock a moment may be; one later than that is taken for the recorder's now."""
MAX_NAME: Final = 255
MAX_VALUES: Final = 64 * 1024
"""How many characters of arguments, of headers and of a result are kept."""
LEFT_OUT: Final = "\n… {} characters left out …\n"
_GREATEST: Final = 2**62
_MOST_SECONDS: Final = 1e12
_NUMBERS: Final = (int, float)


def short(value: Any, most: int = MAX_NAME) -> str:
    """*value* as a name of at most *most* characters; empty if it is no text."""
    if not isinstance(value, str):
        return ""
    if len(value) > most:
        value = value[: most - 1] + "…"
    return clean(value) if "\0" in value else value


def text(value: Any, most: int) -> str | None:
    """*value* as a text of about *most* characters, its middle left out; None if it is no text."""
    if value is None or not isinstance(value, str):
        return None
    if len(value) <= most:
        return clean(value) if "\0" in value else value
    half = most // 2
    return clean(value[:half] + LEFT_OUT.format(len(value) - 2 * half) + value[-half:])


def clean(value: str) -> str:
    """*value* without NUL, which PostgreSQL has no place for; shown as the sign for it."""
    return value.replace("\0", "␀")


def number(value: Any, default: int) -> int:
    """*value* as an integer that fits, or *default*."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not math.isfinite(value):
        return default
    return max(-_GREATEST, min(int(value), _GREATEST))


def milliseconds(value: Any) -> int | None:
    """*value* seconds as whole ms, at least 0: two clocks may disagree on what was first; None if it is no number."""
    if value.__class__ is float and 0.0 <= value < _MOST_SECONDS:  # nearly all are
        return round(value * 1000)
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not math.isfinite(value):
        return None
    return min(max(0, round(value * 1000)), _GREATEST)


def real(value: Any) -> float | None:
    """*value* as a number that is one; None if it is none, or endless."""
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or not math.isfinite(value):
        return None
    return float(value)


def moment(at: float, now: float) -> float:
    """The moment *at* of another host's clock, if it can be: neither in the future nor before there were computers."""
    return at if 0.0 <= at <= now + FUTURE_SECONDS else now
