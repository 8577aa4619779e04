"""What PostgreSQL can tell of the jobs it holds, as generators of transactions. Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from umbel.brokers.postgres.operations import SQL, Steps
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines.postgres_values import key, texts


def queues() -> Steps[list[str]]:
    """All names of queues, sorted."""
    (rows,) = yield [SQL("inspect.queues")]
    return [row[0] for row in rows]


def counts(names: Sequence[str], now: str | None) -> Steps[list[QueueCounts]]:
    """Exact numbers for each of *names*, as of one moment."""
    (rows,) = yield [SQL("inspect.counts", texts(names), now)]
    return [QueueCounts(*row) for row in rows]


def sessions(names: Sequence[str], now: str | None) -> Steps[list[SessionInfo]]:
    """The open sessions of queues *names*."""
    (rows,) = yield [SQL("inspect.sessions", texts(names), now)]
    return [SessionInfo(session, info, left, tuple(held)) for session, info, left, held in rows]


def locate(job_id: str, queue: str | None, now: str | None) -> Steps[Location]:
    """Where *job_id* is; *queue* None looks in every queue."""
    (rows,) = yield [SQL("inspect.locate", key(job_id), queue or "", now)]
    return Location(*rows[0]) if rows else Location("unknown")
