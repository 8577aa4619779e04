"""A log in memory: entries under growing numbers, the oldest go first. Knows no lock."""

from __future__ import annotations

from collections import deque
from itertools import islice


class Log:
    """Entries of bytes; *last* is the number of the newest that was ever added."""

    def __init__(self) -> None:
        self.last = 0
        self._entries: deque[bytes] = deque()

    def append(self, entries: list[bytes], bound: int) -> None:
        """Add *entries* at the end and keep the newest *bound*."""
        self._entries.extend(entries)
        self.last += len(entries)
        while len(self._entries) > bound:
            self._entries.popleft()

    def read(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """The first *limit* entries numbered above *after*, with their numbers; all, if *after* was never given."""
        before = self.last - len(self._entries)
        skipped = max(0, after - before) if after <= self.last else 0
        found = islice(self._entries, skipped, skipped + limit)
        return list(enumerate(found, before + skipped + 1))
