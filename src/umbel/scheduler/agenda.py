"""Agenda: which schedules have something to do, without computing again what has not changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from umbel.schedules.book import Planned
from umbel.schedules.policy import STEP_MILLISECONDS, begun, next_tick

NEVER: Final = 1 << 62

logger = logging.getLogger("umbel.scheduler")


class Agenda:
    """Remembers the next tick of each schedule for as long as its entry and its state are the same."""

    def __init__(self) -> None:
        self._next: dict[str, tuple[Planned, int]] = {}
        self._now = 0
        self._told: set[str] = set()

    def pending(self, planned: Mapping[str, Planned], now: int) -> Iterator[Planned]:
        """Those of *planned* that have something to do at *now* (unix ms): a tick is due, or counting begins."""
        set_back = now < self._now - STEP_MILLISECONDS
        self._now = now
        self._next = {name: found for name, found in self._next.items() if name in planned and not set_back}
        for name, each in planned.items():
            if self._tick(name, each, now) <= now:
                yield each

    def next(self) -> int:
        """When the next one has something to do (unix ms)."""
        return min((tick for _, tick in self._next.values()), default=NEVER)

    def hold(self, each: Planned, until: int) -> None:
        """Leave *each* alone until then (unix ms), or until it changes."""
        self._next[each.entry.name] = (each, until)

    def give_up(self, each: Planned, reason: object) -> None:
        """Leave *each* alone until it changes, and say so once."""
        name = each.entry.name
        self.hold(each, NEVER)
        if name not in self._told:
            self._told.add(name)
            logger.error("The schedule %s does not run: %s", name, reason)

    def _tick(self, name: str, each: Planned, now: int) -> int:
        found = self._next.get(name)
        if found is not None and found[0] == each and now < found[1]:
            return found[1]
        try:
            self.hold(each, self._computed(each, now))
        except (ValueError, TypeError, ImportError) as error:  # a rule that a newer version wrote, a zone unknown here
            self.give_up(each, error)
        return self._next[name][1]

    def _computed(self, each: Planned, now: int) -> int:
        if each.state is None or begun(each.entry, each.state, each.scope, now) is not None:
            return now
        if each.state.paused or not each.entry.enabled:
            return NEVER
        tick = next_tick(each.entry, each.state)
        return NEVER if tick is None else tick
