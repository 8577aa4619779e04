"""What the history shows, as plain values. Times are unix seconds, durations seconds; None is what is not known."""

from __future__ import annotations

from typing import Any

import msgspec


class JobRow(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a list. *seq* is its place in the order of first recording, *change* that of its last change.

    *args* and *kwargs* are the beginnings of redacted JSON. *error* is the type of its last error, *error_text* its
    message without what differs each time, and *group* the number of its group of errors.
    """

    seq: int
    id: str
    task: str
    queue: str
    worker: str
    state: str
    attempt: int
    crashes: int
    priority: int
    sent: float
    eta: float | None
    started: float | None
    finished: float | None
    wait: float | None
    run: float | None
    group: int | None
    error: str
    error_text: str
    flow: str | None
    retry_of: str | None
    progress: tuple[str, str] | None
    change: int
    args: str
    kwargs: str


class JobPage(msgspec.Struct, frozen=True):
    """Jobs, newest first. *cursor* is what to hand in as ``before`` for the next page; None: there is none.

    *compared_all* is False when the filter needed comparing and only the newest rows were, at most 100,000; the page
    may then be short, or even empty, although there is a next one. *top* is the newest seq there was, *change* the
    newest change.
    """

    rows: tuple[JobRow, ...]
    cursor: int | None
    compared_all: bool
    top: int
    change: int


class Count(msgspec.Struct, frozen=True):
    """How many jobs match: exactly *n*; at least so many if *capped*. *top* is the newest seq that was counted.

    *at* is the moment for which the filter was understood: hand it in, with *top*, where the same jobs are meant.
    """

    n: int
    capped: bool
    top: int
    at: float


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An action on all jobs that match *filter*: what somebody asks for, after having seen the `Count` of it.

    *id* names it: asked twice, it is carried out once. *what* is the right that it needs, *options* is JSON of whoever
    carries it out. *cutoff* is the *top* and *at* the moment of the count, *total* and *capped* what it was.
    """

    id: str
    what: str
    filter: str
    cutoff: int
    at: float
    who: str
    origin: str
    total: int
    capped: bool = False
    options: str = ""


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """An action on all jobs that match *filter*, as far as it is: *state* is running, done, stopped or failed.

    The jobs are those up to the seq *cutoff* that match at the moment *at*, the newest first; those below the seq
    *cursor* are still to come (None: all). *lease* is until when somebody has promised to go on with it. *trouble* says
    why it has failed.
    """

    id: str
    what: str
    filter: str
    options: str
    cutoff: int
    at: float
    who: str
    origin: str
    started: float
    finished: float | None
    total: int
    capped: bool
    done: int
    failed: int
    state: str
    trouble: str
    cursor: int | None
    lease: float


class Facets(msgspec.Struct, frozen=True):
    """How many jobs match, by state, task and queue; *capped* when only the newest of them were counted."""

    total: int
    capped: bool
    states: dict[str, int]
    tasks: dict[str, int]
    queues: dict[str, int]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a job that failed, or was not its first. *finished* is when it ended, *state* what followed."""

    number: int
    state: str
    finished: float
    worker: str
    run: float | None
    wait: float | None
    group: int | None
    error: str
    message: str
    traceback: str


class Relative(msgspec.Struct, frozen=True):
    """A job that is named beside another."""

    id: str
    task: str
    state: str


class JobDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one job. *args*, *kwargs*, *headers* and *result* are redacted JSON, maybe shortened.

    *resendable*: its exact envelope is kept. *parent* and the others are None when they are not in the history.
    """

    job: JobRow
    args: str | None
    kwargs: str | None
    headers: str | None
    result: str | None
    resendable: bool
    expires: float | None
    root: str | None
    parent_id: str | None
    schedule: str | None
    heard: float
    attempts: tuple[Attempt, ...]
    parent: Relative | None
    children: tuple[Relative, ...]
    origin: Relative | None
    retries: tuple[Relative, ...]


class Point(msgspec.Struct, frozen=True):
    """What happened within *span* seconds from *at*: counts, and seconds below which half, 95 % and 99 % were.

    *rate* figures are not given: divide by the span. The last point may lie in the future in part.
    """

    at: float
    sent: int
    succeeded: int
    failed: int
    retried: int
    revoked: int
    dead: int
    wait: tuple[float | None, float | None, float | None]
    run: tuple[float | None, float | None, float | None]


class Series(msgspec.Struct, frozen=True):
    """Points of *span* seconds each, those without anything left out; at most 400."""

    span: int
    start: float
    end: float
    points: tuple[Point, ...]


class Totals(msgspec.Struct, frozen=True):
    """What happened to the jobs of one task, or of one queue, within a window; percentiles as in `Point`."""

    name: str
    sent: int
    succeeded: int
    failed: int
    retried: int
    revoked: int
    dead: int
    wait: tuple[float | None, float | None, float | None]
    run: tuple[float | None, float | None, float | None]


class TaskView(msgspec.Struct, frozen=True):
    """A task that was ever heard of. *parameters* are names, None if no worker has told them.

    *first* and *last* tell when anything happened to its jobs, to the hour and to the minute; None: nothing, for long.
    """

    name: str
    parameters: tuple[str, ...] | None
    first: float | None
    last: float | None


class Release(msgspec.Struct, frozen=True):
    """A version that workers run: *sort* is "umbel", or "app" for what the app calls a release; when first and last."""

    sort: str
    name: str
    first: float
    last: float


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Errors that are the same: type, message without what differs each time, and the top frames of the app.

    *count* is within the window that was asked for, *total* since ever. *sample* is the newest job that had it, and
    *task* its task. *status* is open, muted, resolved, or regressed: it came again after somebody, *triaged_by*, had
    resolved it. *minutes* are (time, count) of *span* seconds each, those without any left out.
    """

    id: int
    fingerprint: str
    type: str
    template: str
    frame: str
    first_seen: float
    last_seen: float
    count: int
    total: int
    status: str
    sample: str | None
    minutes: tuple[tuple[int, int], ...] = ()
    span: int = 60
    task: str = ""
    triaged_at: float | None = None
    triaged_by: str = ""


class ErrorSpread(msgspec.Struct, frozen=True):
    """Where the jobs are whose last error was of one group: how many by task, queue, worker and release, most first.

    Counted among the newest, by default 5,000; *capped*: there are more. A release is the ``worker_release`` of then,
    maybe empty.
    """

    counted: int
    capped: bool
    tasks: dict[str, int]
    queues: dict[str, int]
    workers: dict[str, int]
    releases: dict[str, int]


class ErrorSample(msgspec.Struct, frozen=True):
    """The newest attempt that ended with an error of one group: of which *job*, with the traceback in full."""

    job: str
    attempt: Attempt


class QueueSample(msgspec.Struct, frozen=True):
    """How a queue was at one moment; *oldest* is the age of the job that was ready for longest."""

    at: float
    ready: int
    delayed: int
    running: int
    parked: int
    held: int
    dead: int
    oldest: float | None
    paused: bool


class QueueView(msgspec.Struct, frozen=True):
    """A queue: its newest sample, and (time, ready, oldest) of the last hour, at most one a minute."""

    name: str
    last: QueueSample
    hour: tuple[tuple[float, int, float | None], ...]


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it was heard of last. *rss* is bytes, *cpu* seconds; *jobs* maps ids to when they started."""

    name: str
    host: str
    pid: int
    version: str
    queues: Any
    slots: int | None
    used: int | None
    rss: int | None
    cpu: float | None
    jobs: Any
    processed: int | None
    started: float | None
    seen: float
    stopped: float | None


class ScheduleRun(msgspec.Struct, frozen=True):
    """One tick of a schedule: when it was due, how much later its job was sent, and what became of that."""

    schedule: str
    tick: float
    late: float
    job: str
    state: str


class FlowView(msgspec.Struct, frozen=True, kw_only=True):
    """A flow; *states* counts its jobs, also those whose records are gone. *seen* is when it was last heard of.

    *origin* is the flow that it repeats or goes on from; *repeats* are those that do so with it, the newest first.
    """

    id: str
    name: str
    root: str | None
    total: int | None
    state: str
    started: float | None
    finished: float | None
    states: dict[str, int]
    seen: float
    jobs: tuple[JobRow, ...] = ()
    origin: str | None = None
    repeats: tuple[str, ...] = ()


class Gap(msgspec.Struct, frozen=True):
    """Batches that did not come: events of theirs are missing until the records were checked against the broker.

    *opening*: they are older than all that is known of their source, so maybe than the history.
    """

    source: str
    first: int
    last: int
    found: float
    opening: bool


class Standing(msgspec.Struct, frozen=True):
    """How the history is: the newest seq and change, bytes, gaps that are open, and what its recorders last said.

    *recorded* is when a recorder last wrote. *lag* is how old the newest batch was then, in seconds. *trouble* says
    what keeps it from being written, such as a full disk.
    """

    seq: int
    change: int
    bytes: int
    gaps: tuple[Gap, ...]
    dropped: int
    recorded: float | None
    lag: float | None
    trouble: str


class Audit(msgspec.Struct, frozen=True):
    """One thing that somebody did, or was refused: *what* (a right), on which *target* or filter, to how many."""

    id: int
    at: float
    who: str
    origin: str
    what: str
    target: str
    count: int
    outcome: str
