"""A recorder that is killed in the midst of a write, by SIGKILL.

``python -m tests.conformance.history_victim URL STATEMENT [torn]``: it records the log of `told`, and dies before that
statement, or, at "commit", when all is written but the end of the transaction. *torn*: each statement stands at once,
as if there were no transaction.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.conformance.history_stage import batch, event
from umbel.brokers.memory import MemoryBroker
from umbel.contracts.history import Archive
from umbel.engines.memory import Space
from umbel.engines.postgres_history import PostgresTransaction
from umbel.engines.sqlite_history import SqliteTransaction
from umbel.history.archives import archive_at
from umbel.history.recorder import Recorder, Source
from umbel.history.retention import Terms
from umbel.model.event import Tally
from umbel.settings import Settings
from umbel.stores.memory import MemoryStore
from umbel.wire import events

JOBS = 40
TERMS = Terms(1e9, 1e9, 10**9, 2**50)


def source() -> Source:
    """A broker whose log tells of `JOBS` jobs, the same each time: of each that it was sent."""
    space = Space()
    broker = MemoryBroker(space)
    broker.event_log.append([events.encode(told(number)) for number in range(1, JOBS + 1)], 1_000)
    return Source("memory://", broker, broker.event_log, broker, MemoryStore(space))


def told(number: int) -> Any:
    """One batch."""
    sent = event("task-sent", f"job{number}", kwargs=f'{{"number":{number}}}')
    return batch(number, sent, tallies=(Tally("shop.buy", "orders", sent.at, sent=1),))


def record(archive: Archive) -> int:
    """Write the log; answers how many batches were new."""
    return asyncio.run(Recorder(archive, source(), TERMS).catch_up())


def _dying(before: str) -> None:
    """See to it that this process dies before the statement *before*."""
    for kind in (SqliteTransaction, PostgresTransaction):
        for verb in ("rows", "many", "tell"):
            if hasattr(kind, verb):
                setattr(kind, verb, _watched(getattr(kind, verb), before))


def _watched(verb: Callable[..., Any], before: str) -> Callable[..., Any]:
    def watched(self: object, name: str, *given: object) -> Any:
        if name == before:
            _die()
        return verb(self, name, *given)

    return watched


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_at_the_end(archive: Archive) -> Archive:
    write = archive.write

    def killed(step: Callable[[Any], Any]) -> Any:
        def dying(transaction: Any) -> Any:
            found = step(transaction)
            if transaction.rows("search.top") != [(0,)]:  # PostgreSQL has carried out all that it was told by then
                _die()
            return found

        return write(dying)

    archive.write = killed  # type: ignore[method-assign]
    return archive


def main(arguments: Sequence[str]) -> None:
    """Record until killed."""
    url, statement, *torn = arguments
    archive = archive_at(url, Settings())
    archive.write(lambda _: None)  # the tables are there
    if torn:
        _tear()
    if statement == "commit":
        archive = _killed_at_the_end(archive)
    else:
        _dying(statement)
    record(archive)


def _tear() -> None:
    rows = SqliteTransaction.rows
    many = SqliteTransaction.many

    def standing(self: SqliteTransaction, verb: Callable[..., Any], *given: Any) -> Any:
        found = verb(self, *given)
        self.ask("commit", ())
        self.ask("begin immediate", ())
        return found

    SqliteTransaction.rows = lambda self, *given: standing(self, rows, *given)  # type: ignore[method-assign]
    SqliteTransaction.many = lambda self, *given: standing(self, many, *given)  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1:])
