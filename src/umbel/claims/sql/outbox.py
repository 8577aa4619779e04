"""`SqlOutbox`: what lies in the outboxes of a SQL database is taken by whoever sends it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from umbel.claims.sql import opening
from umbel.contracts.outbox import Portion, Taking
from umbel.engines import sql_outbox
from umbel.engines.sql import Connection, SqlEngine
from umbel.engines.sql_outbox import Home
from umbel.engines.threads import Threads
from umbel.model.job import Job

SENDER_MS: Final = 5_000
"""How long a sender has an outbox for himself between two looks."""
MAX_BYTES: Final = 1024 * 1024
"""About how many bytes of jobs one look answers at most."""
_ROWS: Final = 16


class SqlOutbox:
    """`Outbox` in the database of *engine*, asked in *threads*; *now* answers unix ms on a connection."""

    def __init__(self, engine: SqlEngine, threads: Threads, now: Callable[[Connection], int]) -> None:
        self._engine = engine
        self._threads = threads
        self._now = now
        self._found: set[str] = set()

    def take(self, taking: Taking) -> Portion:
        """The next jobs of an outbox."""
        return self._threads.call(self._engine.run, partial(self._taken, taking=taking))

    async def atake(self, taking: Taking) -> Portion:
        """The async twin of `take`."""
        return await self._threads.acall(self._engine.run, partial(self._taken, taking=taking))

    def waiting(self, homes: Sequence[str]) -> list[str]:
        """Those of *homes* where jobs were found to wait; they are told once."""
        found = self._found.intersection(homes)
        self._found -= found
        return sorted(found)

    def tell(self, homes: Sequence[str]) -> None:
        """Jobs were found to wait at *homes*."""
        self._found.update(homes)

    def _taken(self, connection: Connection, taking: Taking) -> Portion:
        if not taking.sent and sql_outbox.is_idle(connection, taking.home):
            return Portion()
        return _taken(connection, self._now(connection), taking)


def _taken(connection: Connection, now: int, taking: Taking) -> Portion:
    home = taking.home
    state = sql_outbox.hold(connection, home)
    change = -_strike_out(connection, home, set(taking.sent)) if taking.sent else 0
    left = state.until - now
    if state.sender not in (None, taking.sender) and 0 < left <= SENDER_MS:
        sql_outbox.keep(connection, home, state._replace(waiting=state.waiting + change))
        return Portion(seconds=left / 1000)
    jobs = _next(connection, home, taking.limit)
    if not jobs and taking.pump > 0:
        change += opening.pump(connection, now, home, taking.pump)
        jobs = _next(connection, home, taking.limit)
    sender, until = (taking.sender, now + SENDER_MS) if jobs else (None, 0)
    sql_outbox.keep(connection, home, Home(sender, until, state.waiting + change))
    return Portion(tuple(jobs))


def _strike_out(connection: Connection, home: str, sent: set[str]) -> int:
    """Take the jobs *sent* out of the first rows of *home*; answers how many rows are gone."""
    gone: list[int] = []
    after = 0
    while sent:
        rows = sql_outbox.read(connection, home, after, _ROWS)
        for number, jobs in rows:
            after = number
            rest = [job for job in jobs if job.id not in sent]
            if not rest:
                gone.append(number)
            elif len(rest) < len(jobs):
                sql_outbox.replace(connection, home, number, rest)
            if len(rest) == len(jobs):
                sent = set()  # they were taken in their order
            sent.difference_update(job.id for job in jobs)
        if not rows:
            break
    sql_outbox.drop(connection, home, gone)
    return len(gone)


def _next(connection: Connection, home: str, limit: int) -> list[Job]:
    """The first jobs of *home*, at most *limit*, or about a mebibyte of them."""
    found: list[Job] = []
    after = size = 0
    while len(found) < limit and size < MAX_BYTES:
        rows = sql_outbox.read(connection, home, after, _ROWS)
        for number, jobs in rows:
            after = number
            found += jobs
            size += sum(len(job.envelope) for job in jobs)
        if len(rows) < _ROWS:
            break
    return found[:limit]
