"""The ledger of a chaos test: what was sent, what started, what ended; and the invariants that must hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec


class Line(msgspec.Struct, frozen=True):
    """One start (``S``) or end (``E``) of one job, as its task wrote it down."""

    phase: str
    job: str
    pid: int
    at: float


class Ledger:
    """Reads the file that the tasks of ``projects/ledger_tasks.py`` append to."""

    def __init__(self, path: Path) -> None:
        """*path* may not exist yet."""
        self.path = path

    def lines(self) -> list[Line]:
        """All complete lines, in the order in which they were written."""
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_text().rpartition("\n")  # of the last one only a part may be here yet
        found = [line.split() for line in whole.splitlines()]
        return [Line(phase, job, int(pid), float(at)) for phase, job, pid, at in found]

    def starts(self) -> Counter[str]:
        """How often each job started."""
        return Counter(line.job for line in self.lines() if line.phase == "S")

    def ends(self) -> Counter[str]:
        """How often the function of each job came to its end."""
        return Counter(line.job for line in self.lines() if line.phase == "E")

    def extra_starts(self) -> int:
        """How many starts there were beyond one a job."""
        return sum(count - 1 for count in self.starts().values())
