"""Wording: values as people read them; the filters of the templates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from umbel.dashboard.folded import folded
from umbel.dashboard.looks import look
from umbel.dashboard.sparks import spark
from umbel.dashboard.traces import trace

DASH: Final = "\u2013"
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
SHORT: Final = 12
_UNSEEN: Final = (
    *range(0x20),
    0x7F,
    *range(0x80, 0xA0),
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)
_MARKS: Final = {code: chr(0x2400 + code) if code < ord(" ") else f"<U+{code:04X}>" for code in _UNSEEN} | {
    ord("\n"): "\n",
    ord("\t"): "\t",
    0x2028: "<U+2028>",
    0x2029: "<U+2029>",
}


def duration(seconds: float | None) -> str:
    """Seconds as 0.4 ms, 12 ms, 3.4 s, 2 min 5 s, 3 h 4 min or 5 d 6 h; nothing as a dash."""
    if seconds is None:
        return DASH
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if 0 < seconds < 0.01 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004 - likewise
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - three digits are enough
    for unit, name, below, part in ((_MINUTE, "min", _HOUR, "s"), (_HOUR, "h", _DAY, "min")):
        if seconds < below:
            rest = int(seconds % unit) // (1 if unit == _MINUTE else _MINUTE)
            return f"{int(seconds // unit)} {name}" + (f" {rest} {part}" if rest else "")
    hours = int(seconds % _DAY) // _HOUR
    return f"{int(seconds // _DAY)} d" + (f" {hours} h" if hours else "")


def age(seconds: float) -> str:
    """How long ago, in one unit: now, 3 s ago, 12 min ago, 5 h ago, 3 d ago."""
    if seconds < 1:
        return "now"
    for unit, name, below in ((1, "s", _MINUTE), (_MINUTE, "min", _HOUR), (_HOUR, "h", 2 * _DAY)):
        if seconds < below:
            return f"{int(seconds // unit)} {name} ago"
    return f"{int(seconds // _DAY)} d ago"


def moment(unix: float | None) -> str:
    """A unix time as 2026-11-27 06:12:05 UTC; nothing as a dash."""
    return DASH if unix is None else datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment_in(unix: float, zone: str) -> str:
    """A unix time as 2026-11-27 07:12:05 CET, in the time zone that has the name *zone*."""
    return datetime.fromtimestamp(unix, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def iso(unix: float) -> str:
    """A unix time for machines."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")


def count(number: float | None) -> str:
    """A number with thin spaces between thousands; nothing as a dash."""
    return DASH if number is None else f"{number:,.0f}".replace(",", "\u202f")


def size(number: float | None) -> str:
    """Bytes as 512 B, 3.4 KiB, 12 MiB; nothing as a dash."""
    if number is None:
        return DASH
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the next unit
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"  # noqa: PLR2004
        number /= 1024
    return f"{number:.1f} TiB"


def percent(share: float | None) -> str:
    """A share of 1 as 12 % or 0.4 %; nothing as a dash."""
    if share is None:
        return DASH
    return f"{share * 100:.1f} %" if 0 < share < 0.1 else f"{share * 100:.0f} %"  # noqa: PLR2004


def short(name: str) -> str:
    """The end of a long id, which is what differs between ids of the same moment; the whole is in the title.

    Of a member of a flow that is the flow, and behind ``#`` its number.
    """
    if len(name) <= SHORT:
        return name
    flow, number = name[:-8], name[-8:]
    if number.startswith("00") and number.isdecimal():
        return f"…{flow[-9:]}" + (f"#{int(number)}" if int(number) else "")
    return f"…{number}"


def key(value: object) -> str:
    """An id for an element of a page that is about *value*: the same each time it is shown."""
    return "k" + hashlib.sha256(repr(value).encode(errors="replace")).hexdigest()[:10]


def visible(text: str) -> str:
    """*text* with marks for control characters and those that turn the direction of writing."""
    return text.translate(_MARKS)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "duration": duration,
    "age": age,
    "moment": moment,
    "moment_in": moment_in,
    "iso": iso,
    "count": count,
    "size": size,
    "percent": percent,
    "short": short,
    "key": key,
    "visible": visible,
    "look": look,
    "folded": folded,
    "trace": trace,
    "spark": spark,
}
