"""Durations as tests like to write them: "1h30m", 90, or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, TypeAlias

Duration: TypeAlias = "float | timedelta | str"

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")


def seconds_of(duration: Duration) -> float:
    """The seconds of *duration*. Raises `ValueError` for text that is none, and for what is negative."""
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, str):
        seconds = _read(duration)
    else:
        seconds = float(duration)
    if not seconds >= 0:
        raise ValueError(f"{duration!r} is no duration: it must not be negative")
    return seconds


def _read(text: str) -> float:
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise ValueError(f'{text!r} is no duration: write it like "1h30m", "90s" or "250ms"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
