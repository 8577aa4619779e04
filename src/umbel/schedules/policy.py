"""What is due: ticks, misfires, and where counting begins. Pure: the time is an argument, in unix milliseconds."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from umbel.model.schedule import MAX_CATCH_UP, Entry, State, key_of
from umbel.schedules.interval import schedule
from umbel.schedules.reading import parse
from umbel.schedules.rule import Rule
from umbel.schedules.zones import zone_of

LATE_MILLISECONDS: Final = 10_000
"""A tick that is later than this was missed, and `Entry.misfire` decides; earlier ones are only late, and all run."""
STEP_MILLISECONDS: Final = 60_000
"""A watermark that is further ahead than this, and than one interval, tells that the clock was set back."""


class Due(msgspec.Struct, frozen=True):
    """The ticks that are to run now, and how far the schedule has come with them."""

    ticks: tuple[int, ...]
    last: int


@lru_cache(4096)
def rule_of(text: str) -> Rule:
    """The rule with that text, kept: reading it costs more than a tick."""
    return parse(text)


def begun(entry: Entry, state: State | None, scope: str | None, now: int) -> State | None:
    """The state in which *entry* begins at *now*: it is new, its rule has changed, or an interval's clock was set back.

    None if it goes on as it is. A wall-clock rule whose clock was set back waits until its watermark has come again:
    its ticks are moments, and one that has run does not run again. An interval counts time that passes: it goes on.
    """
    if state is not None and state.key == key_of(entry) and not _set_back(entry, state, now):
        return None
    anchor = now if entry.start is None else entry.start - _every(entry)
    if state is None:
        return State(key_of(entry), anchor, now, scope)
    last = now if _set_back(entry, state, now) else max(now, state.last)
    return msgspec.structs.replace(state, key=key_of(entry), anchor=anchor, last=last, scope=scope)


def next_tick(entry: Entry, state: State) -> int | None:
    """The first tick of *entry* that is not over, or None if there is none."""
    after = state.last if entry.start is None else max(state.last, entry.start - 1)
    tick = rule_of(entry.rule).tick_after(after, zone_of(entry.zone), state.anchor)
    return None if tick is None or (entry.end is not None and tick > entry.end) else tick


def due(entry: Entry, state: State, now: int) -> Due | None:
    """What of *entry* is due at *now*, or None."""
    first = next_tick(entry, state)
    if first is None or first > now:
        return None
    until = now if entry.end is None else min(now, entry.end)
    zone, rule = zone_of(entry.zone), rule_of(entry.rule)
    missed = now - first > LATE_MILLISECONDS
    count = min(entry.limit, MAX_CATCH_UP) if entry.misfire == "all" or not missed else 1
    if not missed:
        count = MAX_CATCH_UP
    ticks = rule.latest(count, (first - 1, until), zone, state.anchor)
    oldest = now - _patience(entry, missed=missed)
    return Due(tuple(tick for tick in ticks if tick >= oldest), ticks[-1])


def _patience(entry: Entry, *, missed: bool) -> float:
    """For how many milliseconds a tick may be late and still run."""
    grace = float("inf") if entry.grace is None else entry.grace * 1000
    return min(grace, LATE_MILLISECONDS) if missed and entry.misfire == "skip" else grace


def _set_back(entry: Entry, state: State, now: int) -> bool:
    every = _every(entry)
    return every > 0 and state.last > now + max(every, STEP_MILLISECONDS)


def _every(entry: Entry) -> int:
    rule = rule_of(entry.rule)
    return rule.every if isinstance(rule, schedule) and not rule.relative else 0
