"""Survey: what an engine tells of its queues and workers, gathered once, as data and as text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from umbel.cli.table import duration, table
from umbel.contracts.powers import Inspector, QueueCounts, SessionInfo
from umbel.exceptions import DecodeError
from umbel.model import presence
from umbel.model.presence import Presence
from umbel.wire import envelope

_QUEUE_HEADS: Final = ("QUEUE", "READY", "DELAYED", "HELD", "RUNNING", "PARKED", "DEAD", "OLDEST")
_CHILD_HEADS: Final = ("WORKER", "PID", "CHILD", "SLOTS", "RUNNING", "LEASED", "LEASE", "UP", "QUEUES")
_STRANGER: Final = Presence("?", "?", 0, 0, 0, 0, 0.0)


class QueueRow(msgspec.Struct, frozen=True):
    """One queue. *oldest_seconds* is the age of the job that is ready for longest, None when none is ready."""

    queue: str
    ready: int
    delayed: int
    held: int
    running: int
    parked: int
    dead: int
    oldest_seconds: float | None


class RunningRow(msgspec.Struct, frozen=True):
    """A job that a child was running at its last heartbeat; *seconds* since it started."""

    id: str
    task: str
    seconds: float


class ChildRow(msgspec.Struct, frozen=True):
    """One child process. *leased* counts its jobs at the broker, be they running, waiting or just done."""

    pid: int
    session: str
    threads: int
    async_slots: int
    queues: tuple[str, ...]
    leased: int
    lease_left: float
    up_seconds: float
    running: tuple[RunningRow, ...]


class WorkerRow(msgspec.Struct, frozen=True):
    """One worker: a supervisor, whose *pid* this is, and its children."""

    worker: str
    host: str
    pid: int
    children: tuple[ChildRow, ...]


class Survey(msgspec.Struct, frozen=True):
    """Everything that `umbel status` shows; its field names are those of ``--json``."""

    broker: str
    queues: tuple[QueueRow, ...]
    workers: tuple[WorkerRow, ...]


async def survey(inspector: Inspector, broker: str) -> Survey:
    """Ask the engine at *broker* (a URL without secrets) once. Raises `BrokerError`."""
    names = await inspector.queues()
    now = time.time()
    counts = await inspector.counts(names)
    sessions = await inspector.sessions(names)
    return Survey(broker, tuple(_queue(each, now) for each in counts), tuple(_workers(sessions, now)))


def as_text(found: Survey) -> str:
    """Two tables, and under each child the jobs that it runs."""
    queues = [
        (row.queue, row.ready, row.delayed, row.held, row.running, row.parked, row.dead, duration(row.oldest_seconds))
        for row in found.queues
    ]
    lines = [f"broker  {found.broker}", ""]
    lines += table(_QUEUE_HEADS, queues) if queues else ["no queue was used yet"]
    lines.append("")
    children = [(worker, child) for worker in found.workers for child in worker.children]
    if not children:
        return "\n".join([*lines, "no worker is running"])
    head, *rows = table(_CHILD_HEADS, [_cells(worker, child) for worker, child in children])
    lines.append(head)
    for (_, child), row in zip(children, rows, strict=True):
        lines.append(row)
        lines += [f"    {job.task}[{job.id}]  {duration(job.seconds)}" for job in child.running]
    return "\n".join(lines)


def _cells(worker: WorkerRow, child: ChildRow) -> tuple[object, ...]:
    return (
        worker.worker,
        worker.pid,
        child.pid or "-",  # not forked yet at its first heartbeat
        f"{child.threads}+{child.async_slots} async",
        len(child.running),
        child.leased,
        duration(child.lease_left),
        duration(child.up_seconds),
        ",".join(child.queues),
    )


def _queue(counts: QueueCounts, now: float) -> QueueRow:
    return QueueRow(
        queue=counts.queue,
        ready=counts.ready,
        delayed=counts.delayed,
        held=counts.held,
        running=counts.running,
        parked=counts.parked,
        dead=counts.dead,
        oldest_seconds=None if counts.oldest is None else _age(counts.oldest, now),
    )


def _age(body: bytes, now: float) -> float | None:
    try:
        created = envelope.decode(body, len(body)).created
    except DecodeError:
        return None  # a foreign message: the worker that meets it will say so
    return max(now - created, 0.0) if created else None


def _workers(sessions: Iterable[SessionInfo], now: float) -> Iterator[WorkerRow]:
    together: dict[tuple[str, str, int], list[ChildRow]] = {}
    for session in sessions:
        # What cannot be read was written by something else than a worker of ours; it holds jobs all the same.
        told = presence.decode(session.info) or _STRANGER
        together.setdefault((told.worker, told.host, told.pid), []).append(_child(session, told, now))
    for (worker, host, pid), children in sorted(together.items()):
        yield WorkerRow(worker, host, pid, tuple(sorted(children, key=lambda child: (child.pid, child.session))))


def _child(session: SessionInfo, told: Presence, now: float) -> ChildRow:
    return ChildRow(
        pid=told.child,
        session=session.session,
        threads=told.threads,
        async_slots=told.async_slots,
        queues=told.queues,
        leased=len(session.held),
        lease_left=session.lease_left,
        up_seconds=max(now - told.started, 0.0) if told.started else 0.0,
        running=tuple(RunningRow(job.id, job.task, max(now - job.since, 0.0)) for job in told.running),
    )
