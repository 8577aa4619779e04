"""Figures: what a worker has counted since it was started, by task and queue. Plain values, for whoever shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from umbel.model.event import BUCKETS, bucket_of

MAX_LINES: Final = 300
"""For how many pairs of task and queue numbers are kept apart; what comes later is counted as `OTHER`."""
OTHER: Final = "other"
"""Instead of the name of a task: one that this worker does not know, or one too many."""


class Timings(msgspec.Struct):
    """How long something took: how often by bucket, see `bucket_of`, and all of it in *seconds*."""

    buckets: dict[int, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0

    def note(self, seconds: float) -> None:
        """Once more, and it took *seconds*."""
        bucket = bucket_of(seconds)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.seconds += seconds

    def copy(self) -> Timings:
        """What stays as it is now."""
        return Timings(dict(self.buckets), self.seconds)

    def add(self, more: Timings) -> None:
        """All of *more*, too; a bucket that does not exist counts as the last one."""
        for bucket, count in more.buckets.items():
            place = min(max(bucket, 0), BUCKETS - 1)
            self.buckets[place] = self.buckets.get(place, 0) + count
        self.seconds += more.seconds


class Line(msgspec.Struct):
    """What is counted for one (task, queue): jobs by what became of them, see `Figures`, and how long they took."""

    task: str
    queue: str
    jobs: dict[str, int] = msgspec.field(default_factory=dict)
    waits: Timings = msgspec.field(default_factory=Timings)
    runs: Timings = msgspec.field(default_factory=Timings)

    def count(self, state: str, jobs: int = 1) -> None:
        """*jobs* more were *state*."""
        self.jobs[state] = self.jobs.get(state, 0) + jobs

    def add(self, more: Line) -> None:
        """All of *more*, too."""
        for state, jobs in more.jobs.items():
            self.count(state, jobs)
        self.waits.add(more.waits)
        self.runs.add(more.runs)


class Figures:
    """Lines by (task, queue), `MAX_LINES` at most, and one `OTHER` a queue."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, task: str, queue: str) -> Line:
        """The line of (*task*, *queue*)."""
        found = self._lines.get((task, queue))
        if found is None:
            task = task if len(self._lines) < MAX_LINES else OTHER
            found = self._lines.setdefault((task, queue), Line(task, queue))
        return found

    def add(self, lines: Iterable[Line]) -> None:
        """All of *lines*, too."""
        for line in lines:
            self.line(line.task, line.queue).add(line)

    def lines(self) -> list[Line]:
        """All that was counted, as it is now."""
        return [
            Line(line.task, line.queue, dict(line.jobs), line.waits.copy(), line.runs.copy())
            for line in self._lines.values()
        ]

    def take(self) -> list[Line]:
        """All that was counted; from now on it is another's, and counting begins anew."""
        taken, self._lines = self._lines, {}
        return list(taken.values())
