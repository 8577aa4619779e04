"""Cron text: five fields, or six with seconds first, by the rules of Debian's cron. The `cronsim` library reads it.

The library also counts, but not where clocks are changed by half an hour: so it is asked what matches, not when.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Any, Final

from umbel.schedules.rule import Rule
from umbel.schedules.wall import Times, first_after

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
        self.expression, self._times = _read(text)

    @property
    def text(self) -> str:
        """``cron <text>``."""
        return f"cron {self.expression}"

    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """See `Rule.tick_after`."""
        del anchor
        return first_after(self._times, moment, zone)


def bounded(text: str) -> str:
    """*text* if reading it costs little. Raises `ValueError`: a range of 10^8 would be expanded."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"'{text[:40]}…' has {len(text)} characters: cron text has up to {MAX_TEXT}")
    if _LONG_NUMBER.search(text):
        raise ValueError(f"{text!r} cannot be read as cron text: no field has numbers of three digits")
    return text


def _read(text: Any) -> tuple[str, Times]:
    if not isinstance(text, str):
        raise TypeError(f"cron text is {text!r}: give text such as '*/5 * * * *'")
    from cronsim import CronSim, CronSimError

    expression = " ".join(bounded(NAMED.get(text.strip().lower(), text)).split()).upper()
    try:
        read = CronSim(expression, _ANY_MOMENT)
    except CronSimError as error:
        raise ValueError(f"{text!r} cannot be read as cron text: {error}") from error
    except (AssertionError, IndexError, TypeError) as error:  # what its parser meets in text such as "1-2-3/L"
        raise ValueError(f"{text!r} cannot be read as cron text") from error
    fields = expression.split()
    fixed = len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")  # noqa: PLR2004
    times = Times(
        tuple(sorted(read.hours)),
        tuple(sorted(read.minutes)),
        tuple(sorted(read.seconds)),
        frozenset(read.months),
        read.match_day,
        fixed,
    )
    if times.after(_ANY_MOMENT) is None:
        raise ValueError(f"{text!r} is never due: no such day comes within 50 years")
    return expression, times
