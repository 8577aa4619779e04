"""Cron text: five fields, or six with seconds first, by the rules of Debian's cron. The `cronsim` library reads it."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

from umbel.schedules.rule import Rule, milliseconds

if TYPE_CHECKING:
    from cronsim import CronSim

MAX_TEXT: Final = 1000
_LONG_NUMBER: Final = re.compile(r"\d{3,}")
NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ANY_MOMENT: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - only to see whether the text can be read


class cron(Rule):  # noqa: N801 - lower case as its siblings have it
    """Ticks by cron text: ``minute hour day month weekday``, or six fields with seconds first; also ``@daily``.

    ``L`` (last day), ``LW``, ``5L`` and ``1#2`` are understood. If both day and weekday are restricted, either is
    enough, as in cron; in `crontab` both must match. A fixed time that the clocks skip runs at the first instant after
    the gap, one that is repeated runs once; times with ``*`` in minute or hour, or with seconds, run whenever they are
    shown.
    """

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for text that is malformed or can never be due, `TypeError` for what is no text."""
        self.expression = _checked(text)

    @property
    def text(self) -> str:
        """``cron <text>``."""
        return f"cron {self.expression}"

    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """See `Rule.tick_after`."""
        del anchor
        return first_after(self.expression, moment, zone)


def first_after(expression: str, moment: int, zone: tzinfo) -> int | None:
    """The first tick of cron text *expression* after *moment* (unix ms)."""
    for tick in simulated(expression, datetime.fromtimestamp(moment / 1000, zone)):
        found = milliseconds(tick)
        if found > moment:  # in a repeated hour the clock may show a time whose tick has passed
            return found
    return None


def simulated(expression: str, start: datetime) -> CronSim:
    """The ticks of *expression* after *start*. Raises `ValueError`."""
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(expression, start)
    except CronSimError as error:
        raise ValueError(f"{expression!r} cannot be read as cron text: {error}") from error


def bounded(text: str) -> str:
    """*text* if reading it costs little. Raises `ValueError`: a range of 10^8 would be expanded."""
    if len(text) > MAX_TEXT or _LONG_NUMBER.search(text):
        shown = text if len(text) <= 80 else f"{text[:80]}…"  # noqa: PLR2004 - a line
        raise ValueError(f"{shown!r} cannot be read as cron text: no field has numbers of three digits")
    return text


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"cron text is {text!r}: give text such as '*/5 * * * *'")
    expression = " ".join(bounded(NAMED.get(text.strip().lower(), text)).split()).upper()
    try:
        found = next(simulated(expression, _ANY_MOMENT), None)
    except (AssertionError, IndexError, TypeError) as error:  # what its parser meets in text such as "1-2-3/L"
        raise ValueError(f"{text!r} cannot be read as cron text") from error
    if found is None:
        raise ValueError(f"{text!r} is never due: no such day comes within 50 years")
    return expression
