"""Dooms: what a job ends with that must not run any more, though it has not ended. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

from umbel.exceptions import MemoryLimitExceeded, TimeLimitExceeded
from umbel.model.failure import capture
from umbel.model.job import Doom
from umbel.model.outcome import Failed, Revoked
from umbel.options import seconds
from umbel.task import Task
from umbel.wire.envelope import Envelope

AnyTask: TypeAlias = Task[..., Any]


def doomed(doom: Doom, envelope: Envelope, task: AnyTask | None) -> Failed | Revoked:
    """The end of a job whose *doom* was pronounced while it ran, or while it waited."""
    if doom == "timeout":
        limit = envelope.time_limit
        if limit is None and task is not None and task.time_limit is not None:
            limit = seconds(task.time_limit, "time_limit")
        return Failed(capture(TimeLimitExceeded() if limit is None else TimeLimitExceeded(limit)))
    if doom == "memory":
        return Failed(capture(MemoryLimitExceeded("the job took more memory than its memory_limit allows")))
    return Revoked(doom)
