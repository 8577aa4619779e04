"""Ageing of priorities as a step: jobs that nobody took for long rise by one level."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from umbel.engines.sqlite_file import Connection
from umbel.engines.statements import statements
from umbel.model.ageing import MOST_RAISED, Front, overdue, seen

AGE: Final = statements("umbel.brokers.sqlite.queries", "age.sql")


def age(connection: Connection, now: int, queues: Sequence[str], milliseconds: int) -> int:
    """Let jobs of *queues* rise of whose level none was taken for *milliseconds*; answers how many. *now*: unix ms."""
    return sum(_age(connection, now, queue, milliseconds) for queue in queues)


def _age(connection: Connection, now: int, queue: str, milliseconds: int) -> int:
    known = {level: Front(*front) for level, *front in connection.execute(AGE["known"], (queue,))}
    raised = 0
    for level in overdue(known, _fronts(connection, queue), now - milliseconds):
        raised += len(connection.execute(AGE["rise"], (queue, level, time.time_ns(), MOST_RAISED)).fetchall())
    _keep(connection, queue, known, seen(known, _fronts(connection, queue), now))
    return raised


def _fronts(connection: Connection, queue: str) -> dict[int, str]:
    return dict(connection.execute(AGE["fronts"], (queue,)).fetchall())


def _keep(connection: Connection, queue: str, known: dict[int, Front], fronts: dict[int, Front]) -> None:
    """Write what is new; of a queue where nothing has changed, nothing."""
    connection.executemany(AGE["forget"], [(queue, level) for level in known.keys() - fronts.keys()])
    new = [(queue, level, *front) for level, front in fronts.items() if known.get(level) != front]
    connection.executemany(AGE["keep"], new)
