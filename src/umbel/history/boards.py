"""Boards: queues, workers, schedules and flows, and how the history itself is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from umbel.contracts.history import Transaction
from umbel.history import kept_flows
from umbel.history.jobs import job_rows, seconds
from umbel.history.labels import Labels
from umbel.history.states import name_of
from umbel.history.views import Audit, FlowView, Gap, QueueSample, QueueView, Release, ScheduleRun, TaskView, WorkerView

HOUR: Final = 3_600
MINUTE: Final = 60
MAX_SHOWN: Final = 1_000
MAX_TASKS: Final = 5_000
SETTLED_SECONDS: Final = 15.0
"""A batch that is this late may still be on its way; its gap is not told of."""


def queues(transaction: Transaction, labels: Labels, now: float) -> list[QueueView]:
    """Each queue that was sampled within the last hour."""
    found: dict[int, list[QueueSample]] = {}
    for row in transaction.rows("reading.queues", int(now) - HOUR, int(now) - MINUTE):
        found.setdefault(int(row[0]), []).append(_sample(row))
    names = labels.names(transaction, found)
    views = [
        QueueView(
            names[number],
            samples[-1],
            tuple({int(each.at) // 60: (each.at, each.ready, each.oldest) for each in samples}.values()),
        )
        for number, samples in found.items()
    ]
    return sorted(views, key=lambda view: view.name)


def queue(transaction: Transaction, name: str, start: float, end: float) -> list[QueueSample]:
    """The samples of one queue."""
    numbers = transaction.rows("search.named", "queue", name)
    if not numbers:
        return []
    return [_sample(row) for row in transaction.rows("reading.queue", numbers[0][0], int(start), int(end))]


def workers(transaction: Transaction, labels: Labels, since: float) -> list[WorkerView]:
    """The workers that were heard of since a moment, those heard of last first."""
    rows = transaction.rows("reading.workers", since, MAX_SHOWN)
    names = labels.names(transaction, {row[0] for row in rows})
    return [
        WorkerView(
            name=names[number],
            host=host,
            pid=pid,
            version=version,
            queues=_read(queues),
            slots=slots,
            used=used,
            rss=rss,
            cpu=cpu,
            jobs=_read(jobs),
            processed=processed,
            started=started,
            seen=seen,
            stopped=stopped,
        )
        for (number, host, pid, version, queues, slots, used, rss, cpu, jobs, processed, started, seen, stopped) in rows
    ]


def schedule_runs(transaction: Transaction, schedule: str, since: float, limit: int) -> list[ScheduleRun]:
    """Runs of one schedule, or of all ("") since a moment; the newest first."""
    rows = (
        transaction.rows("reading.runs_of", schedule, limit)
        if schedule
        else transaction.rows("reading.schedule_runs", since, limit)
    )
    return [
        ScheduleRun(name, tick, max(0.0, at - tick), job, "unknown" if state is None else name_of(state))
        for name, tick, at, job, state in rows
    ]


def strips(transaction: Transaction, names: Sequence[str], limit: int) -> dict[str, list[ScheduleRun]]:
    """The newest runs of each of the schedules *names*."""
    return {name: schedule_runs(transaction, name, 0.0, limit) for name in names}


def flows(transaction: Transaction, state: str, before: tuple[float, str], limit: int) -> list[FlowView]:
    """Flows, of one *state* or of any (""), that were last heard of before (a moment, an id), the newest first."""
    most = min(limit, MAX_SHOWN)
    rows = (
        transaction.rows("reading.flows_in", state, *before, most)
        if state
        else transaction.rows("reading.flows", *before, most)
    )
    return [_flow(transaction, row) for row in rows]


def tasks(transaction: Transaction) -> list[TaskView]:
    """All tasks that were ever heard of, by name."""
    return [
        TaskView(name, None if parameters is None else tuple(_read(parameters) or ()), first, last)
        for name, parameters, first, last in transaction.rows("reading.tasks", MAX_TASKS)
    ]


def releases(transaction: Transaction, start: float, end: float) -> list[Release]:
    """The versions that were first seen from *start* to *end*, the newest first."""
    return [Release(*row) for row in transaction.rows("reading.releases", start, end, MAX_SHOWN)]


def flow(transaction: Transaction, labels: Labels, flow_id: str) -> FlowView | None:
    """One flow with its jobs, at most 1,000 of them."""
    rows = transaction.rows("reading.flow", flow_id)
    jobs = job_rows(transaction, labels, transaction.rows("reading.flow_jobs", flow_id, MAX_SHOWN))
    if not rows and not jobs:
        return None
    # Its own events may be lost; its jobs name it all the same.
    found = _flow(transaction, rows[0] if rows else (flow_id, "", None, None, "unknown", None, None, 0.0))
    origin, repeats = kept_flows.origin(transaction, flow_id), kept_flows.repeats(transaction, flow_id)
    return msgspec.structs.replace(found, jobs=jobs, origin=origin, repeats=repeats)


def gaps(transaction: Transaction, now: float) -> tuple[Gap, ...]:
    """Gaps that nobody has closed yet."""
    return tuple(
        Gap(source, first, last, at, bool(opening))
        for source, first, last, at, opening, _ in transaction.rows("reading.gaps", now - SETTLED_SECONDS, MAX_SHOWN)
    )


def audits(transaction: Transaction, before: int, limit: int) -> list[Audit]:
    """What was done, the newest first."""
    return [Audit(*row) for row in transaction.rows("reading.audits", before, min(limit, MAX_SHOWN))]


def _sample(row: tuple[Any, ...]) -> QueueSample:
    _, bucket, ready, delayed, running, parked, held, dead, oldest, paused = row
    return QueueSample(float(bucket), ready, delayed, running, parked, held, dead, seconds(oldest), bool(paused))


def _flow(transaction: Transaction, row: tuple[Any, ...]) -> FlowView:
    flow_id, name, root, total, state, started, finished, seen = row
    counts = transaction.rows("reading.flow_counts", flow_id)
    return FlowView(
        id=flow_id,
        name=name,
        root=root,
        total=total,
        state=state,
        started=started,
        finished=finished,
        states={name_of(code): int(n) for code, n in sorted(counts)},
        seen=seen,
    )


def _read(told: str | None) -> Any:
    try:
        return msgspec.json.decode(told) if told else None
    except msgspec.MsgspecError:
        return told
