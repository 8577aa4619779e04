"""Which messages of a channel are not answered yet: so that one acknowledgement may stand for all before it. No I/O."""

from __future__ import annotations

from collections.abc import Collection


class Tags:
    """The delivery tags of one channel, which only grow."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}

    def came(self, tag: int) -> None:
        """A message has arrived."""
        self._open[tag] = None

    def answer(self, tags: Collection[int]) -> tuple[list[int], list[int]]:
        """Those of *tags* before which nothing is open any more, in order, and the others."""
        for tag in tags:
            self._open.pop(tag, None)
        oldest = next(iter(self._open), None)
        if oldest is None:
            return sorted(tags), []
        return sorted(tag for tag in tags if tag < oldest), [tag for tag in tags if tag > oldest]
