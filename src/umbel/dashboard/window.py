"""Window: from when to when a page shows figures, as its address says: ``?range=6h``, or ``?from=…&to=…``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from umbel.dashboard.page import Refused
from umbel.history.fields import Wrong, moment
from umbel.history.grammar import Value

Range: TypeAlias = Literal["15m", "1h", "6h", "24h", "7d"]

RANGES: Final[tuple[Range, ...]] = get_args(Range)
SECONDS: Final[dict[str, float]] = {"15m": 900.0, "1h": 3_600.0, "6h": 21_600.0, "24h": 86_400.0, "7d": 604_800.0}
SHORTEST_SECONDS: Final = 60.0
LONGEST_SECONDS: Final = 400 * 86_400.0
"""For so long figures are kept."""
FRESH_SECONDS: Final = 1.0
"""For so long figures are shared: less than the time between two words of a topic (`live.topics`), or the last change
would be missed."""


class Window(msgspec.Struct, frozen=True):
    """From *start* to *end*, unix seconds; *range* is empty for one that does not move along with the time."""

    start: float
    end: float
    range: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    @property
    def key(self) -> tuple[str, float, float]:
        """Equal for windows whose figures may be shared."""
        return (self.range, 0.0, 0.0) if self.range else ("", self.start, self.end)

    @property
    def terms(self) -> str:
        """The jobs that were sent within it, as terms of a filter."""
        return f"since:{self.range}" if self.range else f"since:{stamp(self.start)} until:{stamp(self.end)}"


class Windowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a page with a window is asked: the last 15m, 1h, 6h, 24h or 7d; or *from* and *to*.

    Those are a time, ``2026-11-27T06:00`` (UTC if it has no zone), or how long ago: ``2h``. *to* is now if left out.
    """

    range: Range = "1h"
    since: str = msgspec.field(default="", name="from")
    until: str = msgspec.field(default="", name="to")

    @property
    def query(self) -> dict[str, str]:
        """What an address says of the window."""
        own = {"from": self.since, "to": self.until}
        return own if self.since or self.until else {"range": self.range}

    def window(self) -> Window:
        """What is meant by that, at this moment. Raises `Refused`."""
        now = time.time()
        if not self.since and not self.until:
            return Window(now - SECONDS[self.range], now, self.range)
        end = _moment("to", self.until, now) if self.until else now
        start = _moment("from", self.since, now) if self.since else end - SECONDS[self.range]
        if not SHORTEST_SECONDS <= end - start <= LONGEST_SECONDS:
            raise Refused("A window is a minute to 400 days long, and begins before it ends.", "from")
        return Window(start, end)


def stamp(unix: float) -> str:
    """A unix time as the value of a term of a filter."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(field: str, text: str, now: float) -> float:
    try:
        return moment(Value(text), now)
    except Wrong as error:
        raise Refused(str(error), field) from None
