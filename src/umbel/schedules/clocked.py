"""Once: a single tick at a moment."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any

from umbel.schedules.rule import Rule, milliseconds


class clocked(Rule):  # noqa: N801 - lower case as its siblings have it
    """One tick, at *clocked_time*; a datetime without a zone is UTC."""

    def __init__(self, clocked_time: datetime, nowfun: object = None, app: object = None) -> None:
        """Raises `TypeError` for what is no datetime."""
        del nowfun, app
        self.moment = _moment(clocked_time)

    @property
    def clocked_time(self) -> datetime:
        """The moment, in UTC."""
        return datetime.fromtimestamp(self.moment / 1000, UTC)

    @property
    def text(self) -> str:
        """``at <moment in UTC>``."""
        return f"at {self.clocked_time.isoformat()}"

    def tick_after(self, moment: int, zone: tzinfo, anchor: int) -> int | None:
        """See `Rule.tick_after`."""
        del zone, anchor
        return self.moment if self.moment > moment else None


def _moment(value: Any) -> int:
    if not isinstance(value, datetime):
        raise TypeError(f"clocked_time is {value!r}: give a datetime")
    return milliseconds(value)
