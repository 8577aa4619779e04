"""EventLog: the power of a broker to keep what happened for a while, for recorders and whoever watches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec

OLDEST: Final = ""
NOW: Final = "$"
"""Cursors to begin with, see `EventLog.read`."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A batch in the log, encoded; *cursor* is what to hand to `EventLog.read` to go on after it."""

    cursor: str
    batch: bytes


class EventLog(Protocol):
    """The verbs of the log: one for all queues of a broker, bounded in entries; the oldest go first.

    Safe between threads. Errors as `Sender.send`; whoever appends takes an error as lost events, never as a failure.
    """

    def append(self, batches: Sequence[bytes], bound: int) -> None:
        """Add encoded batches at the end and keep about the newest *bound* of all."""
        ...

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        """The async twin of `append`."""
        ...

    async def read(self, after: str, limit: int, wait: float) -> list[Kept]:
        """Up to *limit* batches after the cursor *after*, in order; waits up to *wait* seconds for the first.

        "" begins with the oldest that is kept, "$" with what comes from now on. A cursor whose batch is gone already
        goes on with the oldest, and so does one that this log cannot have given. Waiting does not poll more than four
        times a second, but for its beginning. May answer an empty list early.
        """
        ...

    async def end(self) -> str:
        """The cursor of the newest batch ("" if there is none)."""
        ...


@runtime_checkable
class CountedLog(Protocol):
    """A log that counts its batches, so that a reader can tell how far it is behind."""

    async def count(self) -> int | None:
        """How many batches were ever added; None if there are none yet, or the server does not tell."""
        ...


@runtime_checkable
class EventLogHolder(Protocol):
    """A broker that keeps a log of events."""

    @property
    def event_log(self) -> EventLog:
        """The verbs of the log on this engine."""
        ...


def number_in(cursor: str) -> int:
    """The number in the *cursor* of a log that counts its batches; 0, before all of them, if there is none in it."""
    return int(cursor) if cursor.isdecimal() else 0
