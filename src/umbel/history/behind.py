"""Behind: how many batches of a log a recorder has still to read, so that it knows how soon some would be lost."""

from __future__ import annotations

from umbel.contracts.event_log import CountedLog, EventLog


class Behind:
    """Of one reader of *log*, which keeps about *bound* batches; told what it reads."""

    def __init__(self, log: EventLog, bound: int) -> None:
        self._log = log
        self._bound = bound
        self._upto: int | None = None

    def passed(self, batches: int) -> None:
        """So many more were read and written."""
        if self._upto is not None:
            self._upto += batches

    def lost(self) -> None:
        """It is not known any more where the reader is."""
        self._upto = None

    async def reached(self, left: int) -> None:
        """The reader has all that there is by now, and has *left* of it still to write."""
        if self._upto is None and isinstance(self._log, CountedLog) and (count := await self._log.count()) is not None:
            self._upto = max(0, count - left)

    async def fill(self) -> float | None:
        """The share of the log that is still to be read: all until its end was reached once; None if it cannot tell."""
        behind = await self._left()
        return None if behind is None else min(1.0, max(0, behind) / self._bound)

    async def _left(self) -> int | None:
        count = await self._log.count() if isinstance(self._log, CountedLog) else None
        if count is None:
            return None
        if self._upto is not None and count < self._upto:  # it was wiped
            self._upto = None
        return self._bound if self._upto is None else count - self._upto
