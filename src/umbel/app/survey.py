"""Survey: what an engine tells of its queues and workers, gathered once, as data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from umbel.contracts.powers import Inspector, QueueCounts, SessionInfo
from umbel.exceptions import DecodeError
from umbel.model import presence
from umbel.model.presence import Presence
from umbel.wire import envelope

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
    """One child process. *leased* counts its jobs at the broker, be they running, waiting or just done.

    *lag_seconds* is by how much its event loop came late at worst in the seconds before its last heartbeat. *quiet*: it
    receives no jobs, as it was told.
    """

    pid: int
    session: str
    threads: int
    async_slots: int
    queues: tuple[str, ...]
    leased: int
    lease_left: float
    up_seconds: float
    running: tuple[RunningRow, ...]
    lag_seconds: float = 0.0
    quiet: bool = False


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


def received_from(workers: Iterable[WorkerRow]) -> frozenset[str]:
    """The queues from which one of *workers* receives; quiet children do not."""
    children = (child for worker in workers for child in worker.children if not child.quiet)
    return frozenset(queue for child in children for queue in child.queues)


async def survey(inspector: Inspector, broker: str) -> Survey:
    """Ask the engine at *broker* (a URL without secrets) once. Raises `BrokerError`."""
    names = await inspector.queues()
    now = time.time()
    counts = await inspector.counts(names)
    sessions = await inspector.sessions(names)
    return Survey(broker, tuple(_queue(each, now) for each in counts), tuple(_workers(sessions, now)))


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
        lag_seconds=told.lag,
        quiet=told.quiet,
    )
