"""Dooms: what a job ends with that must not run any more, though it has not ended. Pure."""

from __future__ import annotations

from umbel.exceptions import MemoryLimitExceeded, TimeLimitExceeded
from umbel.execution.limits import Limits
from umbel.model.failure import capture
from umbel.model.job import Doom
from umbel.model.outcome import Failed, Revoked


def doomed(doom: Doom, limits: Limits | None) -> Failed | Revoked:
    """The end of a job whose *doom* was pronounced while it ran under *limits*, or while it waited."""
    if doom == "timeout":
        hard = None if limits is None else limits.hard
        return Failed(capture(TimeLimitExceeded() if hard is None else TimeLimitExceeded(hard)))
    if doom == "memory":
        return Failed(capture(MemoryLimitExceeded("the job took more memory than its memory_limit allows")))
    return Revoked(doom)
