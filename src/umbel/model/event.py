"""Event: something that happened to a job, a flow, a schedule or a worker. Batch: events on their way to a recorder.

Events are for watching. Nothing that must not be lost hangs on them: they are bounded, may be dropped (and are counted
then), and never make a job wait. A batch is written once for good by its (source, number), so it may be read twice.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Kind = Literal[
    "task-sent",
    "task-received",
    "task-started",
    "task-progress",
    "task-succeeded",
    "task-failed",
    "task-retried",
    "task-revoked",
    "task-rejected",
    "task-dead",
    "task-expired",
    "flow-started",
    "flow-ended",
    "schedule-tick",
    "worker-online",
    "worker-heartbeat",
    "worker-offline",
]
"""Celery's names where Celery has one. A job that is dead, expired or revoked has ended by that one event."""


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened, at unix time *at* on the clock of who says it.

    *id* is the job's, or the flow's, the schedule's name, the worker's name. *attempt* counts the runs of a job from 1
    (0: none yet), so that events may arrive in any order. *body* has what else is known, by kind:

    ================= ==============================================================================================
    task-sent         priority, eta, flow, root, parent, schedule, retry_of, args, kwargs (redacted, JSON), headers
    task-started      worker, session, wait (seconds from being due to the first start)
    task-progress     state, meta
    task-succeeded    run (seconds of this attempt), result (redacted, JSON), worker, and of task-started what was
                      not sent apart, as a short job sends one event at its end
    task-failed       run, error, message, traceback (list of frames: file, line, name, text), worker
    task-retried      as task-failed, and eta
    task-dead         reason, crashes; as task-failed where it ran
    task-revoked      reason
    worker-*          host, pid, version, queues, slots, used, rss, cpu, jobs, tasks (name: parameter names)
    flow-*            root, total, state;  schedule-tick: job, tick (unix time that was due), spec
    ================= ==============================================================================================
    """

    kind: Kind
    at: float
    id: str
    task: str = ""
    queue: str = ""
    attempt: int = 0
    body: dict[str, Any] = {}
    envelope: bytes = b""


class Tally(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one source counted for one (task, queue) since its last batch: charts stay exact where events are dropped.

    *waits* and *runs* are sparse histograms: bucket number to count; bucket n is up to ``1 ms * 2 ** (n / 4)``.
    """

    task: str
    queue: str
    at: float
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    revoked: int = 0
    dead: int = 0
    waits: dict[int, int] = {}
    runs: dict[int, int] = {}


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one source (a session or a producer, by its id) says at once; *number* counts its batches from 1.

    *dropped* counts the events that were lost to its bound since the last batch.
    """

    source: str
    number: int
    at: float
    events: tuple[Event, ...] = ()
    tallies: tuple[Tally, ...] = ()
    dropped: int = 0
    version: int = 1


MAX_EVENTS: Final = 500
"""The most events of one batch."""
MAX_BATCH_BYTES: Final = 128 * 1024
"""About how large a batch gets."""
BUCKETS: Final = 112
"""How many buckets a histogram has: 1 ms to 2.6 days, percentiles within 9.1 %."""
