"""Rule: when a job is due. A pure function from a moment to the next tick after it, with a text form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

_FIRST_WINDOW: Final = 1000


class Rule(ABC):
    """A rule of ticks. Two rules with one `text` are equal; `umbel.schedules.parse` reads it back."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The rule as one line of text, such as ``every 30`` or ``crontab 0 5 * * *``."""

    @abstractmethod
    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """The first tick after *moment*, or None if there is none within 50 years; unix milliseconds.

        *zone* is the time zone of wall-clock rules, *anchor* the moment from which intervals are counted.
        """

    def next_after(self, moment: datetime, anchor: datetime | None = None) -> datetime | None:
        """The first tick after *moment*, in its time zone (UTC if it has none), or None if there is none.

        *anchor* is the moment from which an interval counts; default: *moment*.
        """
        zone = moment.tzinfo or UTC
        start = milliseconds(moment)
        found = self.tick_after(start, zone, start if anchor is None else milliseconds(anchor))
        return None if found is None else datetime.fromtimestamp(found / 1000, zone)

    def ticks(self, after: int, until: int, zone: tzinfo, anchor: int) -> Iterator[int]:
        """All ticks later than *after* and not later than *until*, in their order."""
        tick = self.tick_after(after, zone, anchor)
        while tick is not None and tick <= until:
            yield tick
            tick = self.tick_after(tick, zone, anchor)

    def latest(self, count: int, span: tuple[int, int], zone: tzinfo, anchor: int) -> list[int]:
        """The last *count* ticks later than *span*'s first moment and not later than its second.

        Costs little however many there are: it looks back from the end, twice as far each time.
        """
        after, until = span
        window = _FIRST_WINDOW
        while True:
            start = max(after, until - window)
            found = deque(self.ticks(start, until, zone, anchor), maxlen=count)
            if start == after or len(found) == count:
                return list(found)
            window *= 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<{self.text}>"


def milliseconds(moment: datetime) -> int:
    """*moment* in unix milliseconds; without a zone it is UTC."""
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
