"""Entry: a schedule as it is kept: its rule as text, its job as a template, its policies. And the rows an engine keeps.

Moments are unix milliseconds, durations seconds.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from umbel.model.job import DEFAULT_QUEUE, Job

Misfire = Literal["once", "skip", "all"]
Overlap = Literal["allow", "skip", "queue"]

MAX_CHANGES: Final = 100
"""How many changes one write takes at most."""
MAX_CATCH_UP: Final = 1000
"""How many missed ticks run at most, whatever the policy says."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row; *revision* is the number of the write that made it what it is, above those of all writes before."""

    name: str
    revision: int
    value: bytes


class Table(msgspec.Struct, frozen=True, gc=False):
    """What a read found. *now* is the unix time in seconds on the broker's clock, *size* the number of all rows."""

    now: float
    size: int
    rows: tuple[Row, ...]


class Change(msgspec.Struct, frozen=True, gc=False):
    """Make the row *name*, which must still have *revision* (0: must not exist), *value* (empty: gone); send *jobs*."""

    name: str
    revision: int
    value: bytes
    jobs: tuple[Job, ...] = ()


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A schedule: a rule of ticks, and the job that each of them sends.

    *rule* is what `umbel.schedules.parse` reads, *zone* a time zone's name. *envelope* is that of the job without what
    differs from tick to tick; *expires* and *countdown* count from the tick. *misfire* says what becomes of ticks that
    were missed: the latest runs, none, or all up to *limit*; none that is later than *grace*. *overlap* says what
    becomes of a tick while the job of the last one has not ended: it runs, is skipped, or waits (one at most).
    *jitter* spreads starts over so many seconds. Ticks before *start* and after *end* are none.
    """

    name: str
    rule: str
    task: str
    envelope: bytes
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    expires: float | None = None
    countdown: float = 0.0
    zone: str = "UTC"
    misfire: Misfire = "once"
    limit: int = MAX_CATCH_UP
    grace: float | None = None
    overlap: Overlap = "allow"
    jitter: float = 0.0
    start: int | None = None
    end: int | None = None
    enabled: bool = True


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a schedule has come. *last* is its watermark: ticks up to it are over, whatever became of their jobs.

    *key* is `key_of` the entry that it counts for; *anchor* is where its intervals begin; *job* in *queue* is what the
    last tick sent, at *sent*. A stored schedule has its *entry* here; one from code names its app in *scope*.
    """

    key: str
    anchor: int
    last: int
    scope: str | None = None
    entry: Entry | None = None
    paused: bool = False
    runs: int = 0
    job: str = ""
    queue: str = ""
    tick: int = 0
    sent: int = 0


def key_of(entry: Entry) -> str:
    """What makes the ticks of *entry*: one whose key changes begins anew, so one that is enabled catches up nothing."""
    return f"{entry.rule}\n{entry.zone}\n{entry.start or ''}\n{'' if entry.enabled else 'disabled'}"
