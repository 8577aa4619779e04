"""States of a job in the history: their names, their numbers in the tables, and what an event makes of a job."""

from __future__ import annotations

from typing import Final, NamedTuple

from umbel.model.event import Event, Kind

NAMES: Final = (
    "waiting",
    "scheduled",
    "queued",
    "parked",
    "received",
    "running",
    "retrying",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
    "dead",
    "unknown",
)
"""By number, which is what the tables hold: only ever added to."""
CODES: Final = {name: code for code, name in enumerate(NAMES)}
ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "expired", "dead"})
ALIASES: Final = {
    "pending": "queued",
    "leased": "received",
    "started": "running",
    "retry": "retrying",
    "success": "succeeded",
    "failure": "failed",
    "revoked": "cancelled",
    "rejected": "dead",
}
"""Celery's names, and what else people say."""

GOES_ON: Final = 0
DEAD: Final = 1
OVER: Final = 2
"""Grades. A job that ended otherwise after it was dead was revived; none becomes dead after it ended otherwise."""


class Step(NamedTuple):
    """What an event makes of a job; *level* orders what happens within one attempt."""

    state: str
    level: int
    grade: int = GOES_ON


STEPS: Final[dict[Kind, Step]] = {
    "task-sent": Step("queued", 0),
    "task-received": Step("received", 1),
    "task-started": Step("running", 2),
    "task-progress": Step("running", 2),
    "task-retried": Step("retrying", 3),
    "task-succeeded": Step("succeeded", 9, OVER),
    "task-failed": Step("failed", 9, OVER),
    "task-revoked": Step("cancelled", 9, OVER),
    "task-expired": Step("expired", 9, OVER),
    "task-rejected": Step("dead", 9, DEAD),
    "task-dead": Step("dead", 9, DEAD),
}
"""The one table of what events do; events that are not in it say nothing of a job's state."""
FAILING: Final = frozenset({"task-failed", "task-retried", "task-dead", "task-rejected"})
"""Events that may tell an error."""


def step_of(event: Event) -> Step:
    """What *event*, one of a job, makes of it."""
    step = STEPS[event.kind]
    if event.kind == "task-sent":
        eta = event.body.get("eta")
        if isinstance(eta, int | float) and eta > event.at:
            return Step("scheduled", step.level)
    return step


def name_of(code: int) -> str:
    """The name of a state by its number; what a later version has added is unknown."""
    return NAMES[code] if 0 <= code < len(NAMES) else "unknown"
