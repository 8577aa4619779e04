"""Event: something that happened to a job, a flow, a schedule or a worker. Batch: events on their way to a recorder.

Events are for watching. Nothing that must not be lost hangs on them: they are bounded, may be dropped (and are counted
then), and never make a job wait. A batch is written once for good by its (source, number), so it may be read twice.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, Literal, TypeAlias, get_args

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
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


VERSION: Final = 2
"""Of the form of batches; whoever reads a higher one cannot know what it says. Since 2 no tally counts *runs*."""
MAX_EVENTS: Final = 1024
"""The most events of one batch."""
MAX_BATCH_BYTES: Final = 128 * 1024
"""About how large a batch gets."""
MAX_ENVELOPE_BYTES: Final = 256 * 1024
"""How large an envelope may be to be told with an event."""
BUCKETS: Final = 112
"""How many buckets a histogram has: 1 ms to 2.6 days, percentiles within 9.1 %."""
FIRST_BUCKET_SECONDS: Final = 0.001
_PER_DOUBLING: Final = 4


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened, at unix time *at* on the clock of who says it; who that is, its batch tells.

    *id* is the job's, or the flow's, the schedule's name, the worker's name. *attempt* counts the runs of a job from 1
    (0: none yet), so that events may arrive in any order. *envelope* is the exact bytes with which the job can be sent
    again, where the table has an asterisk; empty for one above `MAX_ENVELOPE_BYTES` and for one with secrets. Values
    that users gave (args, kwargs, result, meta) are JSON as text, redacted and shortened. *body* has by kind, each left
    out where it is unknown, none, or false:

    ================= ==============================================================================================
    task-sent *       args, kwargs; priority, eta, expires (unix time), flow, root, parent, schedule, retry_of, headers;
                      revived: true for a dead letter that is to run again, whose attempts count anew
    task-received     nothing
    task-started      wait (seconds from being due to the first start; 0 is told)
    task-progress     state, meta
    task-succeeded    run (seconds of this attempt), result; what of task-started was not sent apart: a job that ends
                      soon says only this. state "IGNORED" for a job that asked to be ignored
    task-failed *     run, wait, error (module and class), message, traceback (text)
    task-retried *    as task-failed, and eta: when it runs again
    task-dead *       reason: failed, crashed, rejected; crashes; as task-failed where it ran
    task-rejected     a job that nobody can read: error, message; it is dead
    task-revoked *    reason: revoked, terminated, deleted (a dead letter); run, wait where it ran
    task-expired *    nothing
    worker-online     host, pid, version, release, queues, slots, tasks (name: names of its parameters)
    worker-heartbeat  the same but tasks; used (slots), rss (bytes), cpu (seconds), jobs (id: unix time of the start),
                      processed (how many jobs have ended there for good)
    worker-offline    host, pid, processed
    flow-started      root, total (jobs, as far as it is known)
    flow-ended        state
    schedule-tick     job, tick (unix time that was due)
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


AS_TEXT: Final = b"\xc1"
"""What no encoded value begins with: JSON follows."""
Ran: TypeAlias = tuple[str, float, float, float, bytes]
"""A job that has succeeded at its first attempt: its id, the moment, run and wait (seconds; below 0: unknown), and its
result: encoded if it is a short scalar, which hides nothing, else `AS_TEXT` and JSON."""


class Runs(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Plain successes of one (task, queue), in few bytes: each is a task-succeeded, which no tally counts."""

    task: str
    queue: str
    rows: Sequence[Ran]


Sent: TypeAlias = tuple[str, float, int, bytes]
"""A job that was sent: its id, the moment, its priority, and its envelope."""


class Sends(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Jobs of one (task, queue) whose arguments whoever reads finds in their envelopes: each is a task-sent.

    *names* are those of the positional parameters of the task; they tell what is hidden from view.
    """

    task: str
    queue: str
    names: tuple[str, ...]
    rows: Sequence[Sent]


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

    *dropped* counts the events that were lost to its bound since the last batch. *worker* is the name of the worker
    that the source belongs to; empty for a producer. What is told most often travels apart from *events*, in *runs* and
    *sends*, for *words* see `Redaction`; `umbel.retelling` makes events of it, so readers find all in *events*.
    """

    source: str
    number: int
    at: float
    events: tuple[Event, ...] = ()
    tallies: tuple[Tally, ...] = ()
    dropped: int = 0
    version: int = VERSION
    worker: str = ""
    runs: tuple[Runs, ...] = ()
    sends: tuple[Sends, ...] = ()
    words: tuple[str, ...] = ()


def bucket_of(seconds: float) -> int:
    """The number of the bucket of a histogram that *seconds* fall into."""
    return bisect_left(_ENDS, seconds)


def buckets_of(seconds: Iterable[float]) -> dict[int, int]:
    """A histogram of *seconds*: the number of each bucket and how many of them fall into it."""
    return Counter(map(_bucket, seconds))


def seconds_of(bucket: int) -> float:
    """The upper end of *bucket*, in seconds."""
    return FIRST_BUCKET_SECONDS * math.exp2(bucket / _PER_DOUBLING)


_ENDS: Final = [seconds_of(bucket) for bucket in range(BUCKETS - 1)]
_bucket: Final = partial(bisect_left, _ENDS)
