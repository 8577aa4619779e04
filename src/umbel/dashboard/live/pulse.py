"""Pulse: looks four times a second whether something has changed, as long as somebody watches; once for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from umbel.dashboard.banners import banners
from umbel.dashboard.live.topics import TOPICS
from umbel.dashboard.station import Station
from umbel.exceptions import HistoryError

PERIOD_SECONDS: Final = 0.25
LOOKED_SECONDS: Final = 0.2
"""How old the newest change may be that a page is said to show."""
AGAIN_SECONDS: Final = 1.0
"""So long after a change pages are told of it once more: what they were shown may have been answered just before it,
and be shared (`Station.shared`)."""


class Watcher:
    """Somebody who watches *topics* and has seen *change*, as it is *now*.

    What he was not told yet is kept once a topic, so that a slow one costs nothing.
    """

    def __init__(self, topics: Sequence[str], change: int, now: float) -> None:
        self.topics: Final = tuple(topics)
        self.over = False
        self._seen = dict.fromkeys(topics, change)
        self._told = {topic: now - TOPICS[topic].least for topic in topics}
        self._due: set[str] = set()
        self._again: set[str] = set()
        self._ringing = asyncio.Event()

    @property
    def change(self) -> int:
        """The newest change of which he was told all: with it he can go on where he was."""
        return min(self._seen.values())

    def notice(self, change: int, now: float) -> None:
        """See what is to be told *now*, when *change* is the newest one."""
        for topic in self.topics:
            pace, since = TOPICS[topic], now - self._told[topic]
            new = pace.follows and change > self._seen[topic]
            again = topic in self._again and since >= AGAIN_SECONDS
            if since >= pace.least and (new or again or (pace.tick is not None and since >= pace.tick)):
                self._due.add(topic)
                (self._again.add if new else self._again.discard)(topic)
                self._told[topic], self._seen[topic] = now, max(change, self._seen[topic])
            elif not pace.follows:
                self._seen[topic] = max(change, self._seen[topic])
        if self._due:
            self._ringing.set()

    def call(self) -> None:
        """Have him look again at all that he watches: something has changed that belongs to no topic."""
        self._due.update(self.topics)
        self._ringing.set()

    async def next(self, seconds: float) -> tuple[str, ...]:
        """The topics that have changed, as soon as there is one; none after *seconds*, and none when it is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ringing.wait()
        found = tuple(topic for topic in self.topics if topic in self._due)
        self._due.clear()
        if not self.over:
            self._ringing.clear()
        return found

    def end(self) -> None:
        """Have him leave."""
        self.over = True
        self._ringing.set()


class Pulse:
    """Watches the history of *station* for all watchers; *clock* answers seconds that never go back."""

    def __init__(self, station: Station, clock: Callable[[], float] = time.monotonic) -> None:
        self._station = station
        self._clock = clock
        self._watchers: set[Watcher] = set()
        self._looking: asyncio.Task[None] | None = None
        self._notices: tuple[str, ...] | None = None

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    async def newest(self) -> int:
        """The newest change of the history, at most `LOOKED_SECONDS` ago; 0 while it cannot be read."""

        async def look() -> int:
            try:
                return await self._station.read(self._newest)
            except HistoryError:
                return 0

        return await self._station.shared("newest change", LOOKED_SECONDS, look)

    @contextmanager
    def watch(self, topics: Sequence[str], change: int) -> Generator[Watcher]:
        """Watch *topics* for somebody who has seen *change*."""
        watcher = Watcher(topics, change, self._clock())
        self._watchers.add(watcher)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def end(self) -> None:
        """Have all watchers leave: the server stops."""
        for watcher in tuple(self._watchers):
            watcher.end()

    async def _look(self) -> None:
        while self._watchers:
            change, now = await self.newest(), self._clock()
            noticed = await self._noticed()
            for watcher in self._watchers:
                watcher.notice(change, now)
                if noticed:
                    watcher.call()
            await asyncio.sleep(PERIOD_SECONDS)

    async def _noticed(self) -> bool:
        """Whether what is to be known of the history has changed: if it is not written, it has no change to tell."""
        before, self._notices = self._notices, await banners(self._station)
        return before is not None and before != self._notices

    def _newest(self) -> int:
        return self._station.history.jobs(limit=1).change
