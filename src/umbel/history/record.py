"""JobRecord: a job as the history has it, and how an event changes it: in whatever order events come, the end is one.

Each field is a maximum or minimum by a fixed order, or is told by one kind of event alone. The state follows from the
highest of (grade, attempt, level); of two that are equal the earlier counts. Worker and error are those of the latest
attempt that had one. A dead letter that is to run again has another life, whose attempts count on from the last one's.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from umbel.history.bounds import milliseconds, moment, number, real, short, text
from umbel.history.states import CODES, DEAD, GOES_ON, Step, step_of
from umbel.model.event import Event

MAX_PROGRESS: Final = 4_096
MAX_ID: Final = 255
_NAMED: Final = {
    "flow_id": "flow",
    "root_id": "root",
    "parent_id": "parent",
    "retry_of": "retry_of",
    "schedule": "schedule",
}
"""Columns, and what events call them."""
_TOLD_ONCE: Final = frozenset({"priority", "crashes", "eta", "expires", *_NAMED.values()})
"""What few events tell."""
_NUMBERS: Final = (int, float)


class JobRecord(msgspec.Struct, gc=False, kw_only=True):
    """One row of the table of jobs, its columns in their order. Times are unix seconds."""

    seq: int
    id: str
    task_id: int
    queue_id: int
    worker_id: int = 0
    worker_n: int = -1
    state: int
    grade: int = GOES_ON
    attempt: int = 0
    level: int = -1
    state_at: float
    priority: int = 0
    crashes: int = 0
    sent_at: float
    is_sent: int = 0
    eta: float | None = None
    expires: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    wait_ms: int | None = None
    run_ms: int | None = None
    error_id: int | None = None
    error_n: int = -1
    flow_id: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    schedule: str | None = None
    progress: str | None = None
    progress_at: float | None = None
    heard: float
    change: int = 0
    past: int = 0
    past_at: float | None = None


COLUMNS: Final = JobRecord.__struct_fields__
CHANGING: Final = (
    "worker_id", "worker_n", "state", "grade", "attempt", "level", "state_at", "crashes", "started_at", "finished_at",
    "wait_ms", "run_ms", "error_id", "error_n", "progress", "progress_at", "heard", "change",
    "past", "past_at",
)  # fmt: skip
"""What changes while a job runs."""
GIVEN: Final = tuple(name for name in COLUMNS if name not in {"seq", "id", *CHANGING})
"""What is known when it was sent."""


class Sight(msgspec.Struct, frozen=True):
    """An event with the numbers of the names in it; *now* is the recorder's clock."""

    event: Event
    task_id: int
    queue_id: int
    worker_id: int
    now: float
    error_id: int | None = None


def first_seen(seq: int, sight: Sight) -> JobRecord:
    """The record of a job of which nothing was known before *sight*; `fold` that in next."""
    event = sight.event
    return JobRecord(
        seq=seq,
        id=event.id,
        task_id=sight.task_id,
        queue_id=sight.queue_id,
        state=CODES["unknown"],
        state_at=event.at,
        sent_at=moment(event.at, sight.now),
        heard=sight.now,
    )


def fold(record: JobRecord, sight: Sight) -> bool:
    """Let *record* know of one event; answers whether that decides the job's state."""
    event = sight.event
    at = moment(event.at, sight.now)
    _revived(record, event)
    attempt = attempt_of(record, event, at)
    record.heard = sight.now
    record.task_id = record.task_id or sight.task_id
    record.queue_id = record.queue_id or sight.queue_id
    if not _TOLD_ONCE.isdisjoint(event.body):
        _counted(record, event.body)
        _given(record, event.body)
    if event.kind == "task-sent":
        record.sent_at = min(record.sent_at, at) if record.is_sent else at
        record.is_sent = 1
    elif not record.is_sent:
        record.sent_at = min(record.sent_at, at)
    if event.kind == "task-progress":
        _progressed(record, event, at)
    _timed(record, event, at)
    if sight.worker_id and event.kind != "task-sent" and attempt > record.worker_n:
        record.worker_id, record.worker_n = sight.worker_id, attempt
    if sight.error_id and attempt > record.error_n:
        record.error_id, record.error_n = sight.error_id, attempt
    step = step_of(event)
    if not _decides(record, step, attempt, at):
        return False
    record.attempt = attempt
    _decided(record, event, step, at)
    return True


def attempt_of(record: JobRecord, event: Event, at: float) -> int:
    """Which run of the job *event* of the moment *at* speaks of: a dead letter that runs again counts anew."""
    again = record.past_at is not None and (at > record.past_at or _is_revival(event))
    return event.attempt + record.past if again else event.attempt


def _is_revival(event: Event) -> bool:
    return event.kind == "task-sent" and event.body.get("revived") is True


def _revived(record: JobRecord, event: Event) -> None:
    # Whose clock is right does not matter: who revives a dead letter has seen it dead.
    if record.grade == DEAD and _is_revival(event):
        record.past, record.past_at = record.attempt, record.state_at
        record.grade, record.level = GOES_ON, -1


def _decides(record: JobRecord, step: Step, attempt: int, at: float) -> bool:
    new, old = (step.grade, attempt, step.level), (record.grade, record.attempt, record.level)
    return new > old or (new == old and at < record.state_at)


def _decided(record: JobRecord, event: Event, step: Step, at: float) -> None:
    record.state, record.grade, record.level = CODES[step.state], step.grade, step.level
    record.state_at = at
    record.finished_at = at if step.grade else None
    record.run_ms = milliseconds(event.body.get("run"))


def _counted(record: JobRecord, body: dict[str, Any]) -> None:
    """What only ever grows; a retry comes later than what was before it, so its ETA is the greater."""
    if "priority" in body:
        record.priority = max(record.priority, min(number(body["priority"], 0), 9))
    if "crashes" in body:
        record.crashes = max(record.crashes, number(body["crashes"], 0))
    eta = real(body["eta"]) if "eta" in body else None
    if eta is not None:
        record.eta = eta if record.eta is None else max(record.eta, eta)


def _given(record: JobRecord, body: dict[str, Any]) -> None:
    """What the job is: told when it was sent, and once more by events that may be all that is heard of it."""
    if record.expires is None and "expires" in body:
        record.expires = real(body["expires"])
    for name, told in _NAMED.items():
        if told in body and getattr(record, name) is None and (found := short(body[told], MAX_ID)):
            setattr(record, name, None if name == "root_id" and found == record.id else found)


def _progressed(record: JobRecord, event: Event, at: float) -> None:
    if record.progress_at is None or at >= record.progress_at:
        meta = text(event.body.get("meta"), MAX_PROGRESS) or "null"
        state = short(event.body.get("state"), MAX_ID) or "PROGRESS"
        told = msgspec.json.encode([state, meta]).decode()
        record.progress = max(told, record.progress or "") if at == record.progress_at else told
        record.progress_at = at


def _timed(record: JobRecord, event: Event, at: float) -> None:
    body = event.body
    run = body.get("run")
    started = at if event.kind == "task-started" else at - run if isinstance(run, _NUMBERS) and run >= 0 else None
    if started is not None:
        record.started_at = started if record.started_at is None else min(record.started_at, started)
    wait = milliseconds(body["wait"]) if "wait" in body else None
    if wait is not None:
        record.wait_ms = wait if record.wait_ms is None else min(record.wait_ms, wait)
