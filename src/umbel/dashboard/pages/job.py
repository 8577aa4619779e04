"""The page of one job: what became of it, with what it was called, its relatives, and where the engine has it now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from umbel.asking import FETCH, aask
from umbel.dashboard.doing import NOT_KEPT
from umbel.dashboard.engine import ask
from umbel.dashboard.page import Missing, Page
from umbel.dashboard.pages.jobs import masked
from umbel.dashboard.python_call import python_call
from umbel.dashboard.same_key import SameKey, same_keys
from umbel.dashboard.standing import Standing, standing
from umbel.dashboard.visit import Visit
from umbel.exceptions import DecodeError, HistoryError
from umbel.history.states import ENDED
from umbel.history.views import Attempt, JobDetail, JobRow, Relative
from umbel.model.finding import STEP_SECONDS
from umbel.model.ids import valid_id
from umbel.model.outcome import Result
from umbel.security.redaction import is_cut
from umbel.states import Place
from umbel.wire import record

MAX_VALUE: Final = 64 * 1024
"""How many characters of a value are shown before all of it is asked for."""
MAX_TRACEBACKS: Final = 3
FRESH_SECONDS: Final = 1.0
_TRACEPARENT: Final = re.compile(r'"traceparent": ?"[0-9a-f]{2}-([0-9a-f]{32})-')


class Asks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which job. *full* names what is to be shown in full; *attempt* is one whose traceback is wanted."""

    id: str
    full: Literal["", "args", "kwargs", "headers", "result"] = ""
    attempt: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class Value(msgspec.Struct, frozen=True):
    """JSON, redacted; of *characters* characters the first 64 Ki unless all were asked for.

    *cut*: it was longer than what is kept of a value, so only its beginning is.
    """

    text: str
    characters: int
    shortened: bool = False
    cut: bool = False


class Moment(msgspec.Struct, frozen=True):
    """Something that happened, or will, at a unix time: *what* is a state or a few words."""

    at: float
    what: str
    note: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one job.

    *row* is None when the history does not know it; then *task*, *state* and *error* are what the engine and its record
    tell. Values are None when they are not known, or hidden from whoever asks: *hidden* names those. *python* is its
    call as a line of Python. *unsendable* says why it cannot be sent again; empty: it can. *action* is what a retry
    takes as its action, so that two clicks are one. *apart* is by how many seconds at least the clocks of two hosts
    differ that its moments are told by, if that shows: it has started before it was sent. *trace_id* is its trace, if
    it has one, and *trace_url* where that is shown, if the settings tell. *same_keys* lead to the jobs that are counted
    with it.
    """

    id: str
    task: str
    state: str
    standing: Standing
    row: JobRow | None = None
    error: str = ""
    args: Value | None = None
    kwargs: Value | None = None
    headers: Value | None = None
    result: Value | None = None
    hidden: tuple[str, ...] = ()
    moments: tuple[Moment, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    parent: Relative | None = None
    parent_id: str | None = None
    root: str | None = None
    children: tuple[Relative, ...] = ()
    origin: Relative | None = None
    retries: tuple[Relative, ...] = ()
    schedule: str | None = None
    expires: float | None = None
    heard: float | None = None
    python: str = ""
    unsendable: str = ""
    action: str = ""
    apart: float = 0.0
    trace_id: str = ""
    trace_url: str = ""
    same_keys: tuple[SameKey, ...] = ()


async def show(visit: Visit, asks: Asks) -> Job:
    """The job that is asked for. Raises `Missing`, and `HistoryError` for one that the engine does not know either."""
    found, trouble = None, None
    try:
        found = await visit.read(visit.history.job, asks.id)
    except HistoryError as error:
        trouble = error
    if found is not None:
        return await _recorded(visit, asks, found)
    if valid_id(asks.id) and (known := await _unrecorded(visit, asks.id)) is not None:
        return known
    if trouble is not None:
        raise trouble
    raise Missing(f"There is no job {asks.id}: neither the history nor the engine knows it.")


async def _recorded(visit: Visit, asks: Asks, found: JobDetail) -> Job:
    row = masked(visit, (found.job,))[0]
    now = await standing(visit, row.id, row.queue or None)
    args, results = visit.sees_args, visit.may("jobs.view_results")
    return Job(
        id=row.id,
        task=row.task,
        state=_state(row.state, now),
        standing=now,
        row=row,
        args=_value(found.args, asks, "args") if args else None,
        kwargs=_value(found.kwargs, asks, "kwargs") if args else None,
        headers=_value(found.headers, asks, "headers") if args else None,
        result=_value(found.result, asks, "result") if results else None,
        hidden=(*(() if args else ("args", "kwargs", "headers")), *(() if results else ("result",))),
        moments=moments_of(found),
        attempts=_attempts(found.attempts, asks.attempt),
        parent=found.parent,
        parent_id=found.parent_id,
        root=found.root,
        children=found.children,
        origin=found.origin,
        retries=found.retries,
        schedule=found.schedule,
        expires=found.expires,
        heard=found.heard,
        python=python_call(row, found.args, found.kwargs) if args else "",
        unsendable=_unsendable(found),
        action=_action(found),
        apart=_apart(row),
        trace_id=(trace := _trace(found.headers) if args else ""),
        trace_url=visit.station.options.trace_url.replace("{trace_id}", trace) if trace else "",
        same_keys=same_keys(visit.app.tasks.get(row.task), found.args, found.kwargs) if args else (),
    )


async def _unrecorded(visit: Visit, job_id: str) -> Job | None:
    """What the engine and the result store know of a job that is not in the history."""
    now = await standing(visit, job_id, None)
    record, trouble = await ask(visit, ("record", job_id), FRESH_SECONDS, lambda: aask(visit.app, job_id, None, FETCH))
    if now.place == "unknown" and not record:
        if now.trouble or trouble:
            raise Missing(f"The history does not know the job {job_id}, and the engine: {now.trouble or trouble}")
        return None
    ended = _read(record) if record else None
    if ended is None:
        return Job(id=job_id, task="", state=_STATES.get(now.place, "unknown"), standing=now)
    failure = ended.failure
    return Job(
        id=job_id,
        task=ended.task,
        state=_ENDS.get(ended.state, "unknown"),
        standing=now,
        error="" if failure is None else f"{failure.type}: {failure.message}",
        moments=(Moment(ended.done, _ENDS.get(ended.state, "unknown")),),
        unsendable="the history does not know it, so there is no envelope of it",
    )


def _state(recorded: str, now: Standing) -> str:
    """The state of a job: until it has ended, the history may be a moment behind the engine."""
    if recorded in ENDED or now.place in ("unknown", "ended"):
        return recorded
    if now.revoked:
        return "cancelling"
    if now.place == "ready" and recorded == "received":
        return recorded
    return recorded if now.place == "delayed" else _STATES[now.place]


def _value(text: str | None, asks: Asks, name: str) -> Value | None:
    if text is None:
        return None
    if len(text) <= MAX_VALUE or asks.full == name:
        return Value(text, len(text), cut=is_cut(text))
    return Value(text[:MAX_VALUE], len(text), shortened=True, cut=is_cut(text))


def _attempts(attempts: Sequence[Attempt], wanted: int) -> tuple[Attempt, ...]:
    """*attempts* with the tracebacks of the last few, and of the one that is wanted: each may be long."""
    told = [each.number for each in attempts if each.traceback]
    shown = {*told[-MAX_TRACEBACKS:], wanted}
    return tuple(each if each.number in shown else msgspec.structs.replace(each, traceback="") for each in attempts)


def moments_of(found: JobDetail) -> tuple[Moment, ...]:
    """What happened to a job, in order; it was sent before all else, whatever the clock of its sender said."""
    row = found.job
    told: list[Moment] = []
    if row.eta is not None:
        told.append(Moment(row.eta, "due"))
    if row.started is not None:
        told.append(Moment(row.started, "started"))
    told += [
        Moment(each.finished, each.state, f"attempt {each.number}{f': {each.error}' if each.error else ''}")
        for each in found.attempts
    ]
    if row.finished is not None and not any(each.finished == row.finished for each in found.attempts):
        told.append(Moment(row.finished, row.state))
    return Moment(row.sent, "sent"), *sorted(told, key=lambda moment: moment.at)


def _trace(headers: str | None) -> str:
    """The id of the trace in *headers*, JSON, as W3C has it."""
    found = _TRACEPARENT.search(headers or "")
    return found[1] if found else ""


def _apart(row: JobRow) -> float:
    apart = 0.0 if row.started is None else row.sent - row.started
    return apart if apart > STEP_SECONDS else 0.0


def _unsendable(found: JobDetail) -> str:
    if found.resendable:
        return "" if found.job.flow is None else f"it is part of the flow {found.job.flow}: retry the flow"
    return NOT_KEPT


def _action(found: JobDetail) -> str:
    """The same for whoever looks until it was retried: two clicks, or two people, are one retry."""
    newest = found.retries[0].id if found.retries else ""
    return f"{found.job.id} {newest}".strip()


def _read(raw: bytes) -> Result | None:
    try:
        return record.decode(raw)
    except DecodeError:
        return None


_STATES: Final[dict[Place, str]] = {
    "ready": "queued",
    "delayed": "scheduled",
    "held": "queued",
    "running": "running",
    "parked": "parked",
    "dead": "dead",
}
_ENDS: Final = {
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "REVOKED": "cancelled",
    "REJECTED": "dead",
    "IGNORED": "succeeded",
}

PAGE: Final = Page(
    path="/jobs/{id:path}",
    within="jobs",
    title="Job",
    right="jobs.view",
    template="job.html",
    show=show,
    asks=Asks,
    topics=("jobs",),
)
