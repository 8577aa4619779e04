"""Quarantine: which jobs run alone, because their process may die of them and others would be charged for that."""

from __future__ import annotations

from typing import Final

from umbel.execution.executor import Run

QUARANTINE_CRASHES: Final = 1
QUARANTINE_LOSSES: Final = 2


def dangerous(run: Run) -> bool:
    """Whether *run* may kill its process, and others with it."""
    counts = run.delivery.counts
    if run.ending is not None:  # its task does not run any more
        return False
    apart = run.task.runner == "process"  # the death of that process is nobody else's
    return counts.losses >= QUARANTINE_LOSSES or (counts.crashes >= QUARANTINE_CRASHES and not apart)
