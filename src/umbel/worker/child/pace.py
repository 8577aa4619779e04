"""Pace: how many jobs a child may ask for now. Pure arithmetic: time is an argument, in monotonic seconds."""

from __future__ import annotations

from typing import Final

SHORT_SECONDS: Final = 0.010
"""Only tasks measured under this are prefetched beyond the free slots."""
AHEAD_SECONDS: Final = 0.030
"""How much work, by the measured run time, a child may hold beyond its free slots."""
MAX_AHEAD: Final = 256
FIRST_PROBE_SECONDS: Final = 0.05
LAST_PROBE_SECONDS: Final = 1.0
_WEIGHT: Final = 0.1


class Pace:
    """Counts what runs and waits in one child with *threads* slots for `def` and *async_slots* for `async def` jobs.

    A queue hands out both kinds unseen. In an app that has both, the share of `def` jobs seen lately says how many may
    be asked for; and a child whose threads are all taken still asks, now and then, for one that its loop could run.
    """

    def __init__(self, threads: int, async_slots: int, *, has_def: bool, has_async: bool) -> None:
        """Start with nothing running and nothing measured."""
        self.threads = threads
        self.quiet = False
        """Whether nothing is to be asked for, whatever is free."""
        self.finished = 0
        self.finished_async = 0
        self.async_slots = async_slots if has_async else 0
        self._has_def = has_def or not has_async
        self._held = 0
        self._held_async = 0
        self._mean: float | None = None
        self._share = 1.0
        self._probe = FIRST_PROBE_SECONDS
        self._probe_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits here."""
        return self._held > 0 or self._held_async > 0

    @property
    def waiting(self) -> int:
        """How many `def` jobs wait for a thread."""
        return max(0, self._held - self.threads)

    @property
    def waiting_async(self) -> int:
        """How many `async def` jobs wait for a slot."""
        return max(0, self._held_async - self.async_slots)

    def started(self) -> None:
        """A `def` job was given to the threads; it may wait there."""
        self._held += 1
        self._share += _WEIGHT * (1.0 - self._share)

    def started_async(self) -> None:
        """An `async def` job was given to the loop; it may wait for a slot there."""
        self._held_async += 1
        self._share -= _WEIGHT * self._share

    def done(self, seconds: float) -> None:
        """A `def` job ended after *seconds*."""
        self._held -= 1
        self.finished += 1
        self._mean = seconds if self._mean is None else self._mean + _WEIGHT * (seconds - self._mean)
        self._probe = FIRST_PROBE_SECONDS

    def done_async(self) -> None:
        """An `async def` job ended."""
        self._held_async -= 1
        self.finished_async += 1

    def handed_back(self, now: float) -> None:
        """A waiting `def` job was given back at *now*: the threads are taken by long ones, so ask for less."""
        self._held -= 1
        self._mean = max(self._mean or 0.0, 2 * SHORT_SECONDS)
        self._probe_at = now + self._probe

    def handed_back_async(self, now: float) -> None:
        """A waiting `async def` job was given back at *now*: the slots are taken by long ones, so ask more rarely."""
        self._held_async -= 1
        self._probe_at = now + self._probe
        self._probe = min(self._probe * 2, LAST_PROBE_SECONDS)

    def room(self, now: float) -> int:
        """How many jobs to ask for; 0: none until a slot is free or `probe_in` has passed."""
        if self.quiet:
            return 0
        free_async = max(0, self.async_slots - self._held_async)
        if not self._has_def:
            return free_async
        full = self.async_slots > 0 and not free_async
        if full and now < self._probe_at:
            return 0
        ahead = 0 if full else self._ahead()
        free = self.threads + ahead - self._held
        if self._held < self.threads or free > ahead // 2:
            return free if not free_async else max(free, min(free_async, int(free / max(self._share, 0.01))))
        if free_async and now >= self._probe_at:
            self._probe_at = now + self._probe
            self._probe = min(self._probe * 2, LAST_PROBE_SECONDS)
            return 1
        return 0

    def probe_in(self, now: float) -> float | None:
        """Seconds until `room` may change by itself; None: only when a slot becomes free."""
        full = self._held_async >= self.async_slots
        if self.quiet or not self._has_def or not self.async_slots or (full and self._held >= self.threads):
            return None
        return max(0.001, self._probe_at - now)

    def _ahead(self) -> int:
        if self._mean is None or self._mean > SHORT_SECONDS:
            return 0
        return min(MAX_AHEAD, int(AHEAD_SECONDS / max(self._mean, 1e-6)))
