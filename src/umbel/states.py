"""Celery's states of a result, and the places where a job can be."""

from __future__ import annotations

from typing import Final, Literal

PENDING: Final = "PENDING"
STARTED: Final = "STARTED"
RETRY: Final = "RETRY"
SUCCESS: Final = "SUCCESS"
FAILURE: Final = "FAILURE"
REVOKED: Final = "REVOKED"
IGNORED: Final = "IGNORED"
REJECTED: Final = "REJECTED"
RECEIVED: Final = "RECEIVED"
PROGRESS: Final = "PROGRESS"
"""What ``self.progress`` says; a custom state like any other."""

READY_STATES: Final = frozenset({SUCCESS, FAILURE, REVOKED})
UNREADY_STATES: Final = frozenset({PENDING, STARTED, RETRY})
PROPAGATE_STATES: Final = frozenset({FAILURE, REVOKED})
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED})
ALL_STATES: Final = READY_STATES | UNREADY_STATES

Place = Literal["ready", "delayed", "held", "running", "parked", "dead", "ended", "unknown"]
"""Where a job is: finer than Celery's states, and it tells a queued job from an unknown one."""
