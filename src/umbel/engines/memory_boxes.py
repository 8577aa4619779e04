"""Boxes in memory: messages under growing numbers until their time is over. Knows no lock and no clock."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

_NUMBER: Final = itemgetter(0)


class Boxes:
    """All boxes of a space; *last* is the number of the last message of any, so a box may be forgotten."""

    def __init__(self) -> None:
        self.last = 0
        self._letters: dict[str, list[tuple[int, bytes, float]]] = {}
        self._expiring: list[tuple[float, str]] = []

    def tell(self, box: str, messages: Sequence[bytes], expires: float) -> None:
        """Append *messages*, which are forgotten at the unix time *expires*."""
        letters = self._letters.setdefault(box, [])
        for message in messages:
            self.last += 1
            letters.append((self.last, message, expires))
        heapq.heappush(self._expiring, (expires, box))

    def hear(self, box: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """The first *limit* messages of *box* numbered above *after*, with their numbers."""
        letters = self._letters.get(box, [])
        first = bisect_right(letters, after, key=_NUMBER)
        return [(number, message) for number, message, _ in letters[first : first + limit]]

    def forget(self, now: float) -> None:
        """Forget the messages whose time is over."""
        while self._expiring and self._expiring[0][0] <= now:
            _, box = heapq.heappop(self._expiring)
            left = [each for each in self._letters.pop(box, []) if each[-1] > now]
            if left:
                self._letters[box] = left
