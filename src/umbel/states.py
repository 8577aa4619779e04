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
UNREADY_STATES: Final = frozenset({PENDING, RECEIVED, STARTED, REJECTED, RETRY})
PROPAGATE_STATES: Final = frozenset({FAILURE, REVOKED})
EXCEPTION_STATES: Final = frozenset({RETRY, FAILURE, REVOKED})
ALL_STATES: Final = frozenset({PENDING, RECEIVED, STARTED, SUCCESS, FAILURE, RETRY, REVOKED})

PRECEDENCE: Final = (SUCCESS, FAILURE, None, REVOKED, STARTED, RECEIVED, REJECTED, RETRY, PENDING)
"""From the latest to the earliest; None stands for custom states."""


def precedence(state: str) -> int:
    """The place of *state* in `PRECEDENCE`: 0 is the latest."""
    return PRECEDENCE.index(state if state in PRECEDENCE else None)


class state(str):  # noqa: N801 - Celery's name
    """A state that is greater than those that come before it: ``state(SUCCESS) > state(PENDING)``."""

    __slots__ = ()

    def __gt__(self, other: str) -> bool:
        return precedence(self) < precedence(other)

    def __ge__(self, other: str) -> bool:
        return precedence(self) <= precedence(other)

    def __lt__(self, other: str) -> bool:
        return precedence(self) > precedence(other)

    def __le__(self, other: str) -> bool:
        return precedence(self) >= precedence(other)


Place = Literal["ready", "delayed", "held", "running", "parked", "dead", "ended", "unknown"]
"""Where a job is: finer than Celery's states, and it tells a queued job from an unknown one."""
