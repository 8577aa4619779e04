"""What the verbs of schedules do on Redis, as generators of script calls; the rows live in a slot of their own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from umbel.engines.redis_calls import QueueCalls
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_jobs import chunks
from umbel.engines.redis_layout import prefix
from umbel.model.schedule import Change, Row, Table

T = TypeVar("T")
Steps: TypeAlias = Generator[Sequence[Command], list[Any], T]

HOME: Final = "~schedules"
"""Where the rows live: no queue can have that name."""


def read(calls: QueueCalls, since: int) -> Steps[Table]:
    """The rows that changed; see `ScheduleStore.read`."""
    (reply,) = yield [calls.make("schedules", HOME, (since,))]
    now, size, *words = reply
    rows = [
        Row(name.decode(), int(revision), value)
        for name, revision, value in zip(words[::3], words[1::3], words[2::3], strict=True)
    ]
    return Table(now / 1000, size, tuple(rows))


def write(calls: QueueCalls, changes: Sequence[Change], known: set[str]) -> Steps[list[bool]]:
    """Carry out *changes*; see `ScheduleStore.write`. Queues that are not *known* yet are registered first."""
    queues = {job.queue for change in changes for job in change.jobs}
    new = queues - known
    if new:
        yield [calls.register(new)]  # the name first: a queue that holds jobs is always found
    known |= queues
    (reply,) = yield [calls.make("schedule", HOME, [word for change in changes for word in _words(calls, change)])]
    return [answer == 1 for answer in reply]


def _words(calls: QueueCalls, change: Change) -> list[Word]:
    words: list[Word] = [change.name, change.revision, change.value, len(change.jobs)]
    for job in change.jobs:
        for queue, described in chunks([job]):
            words += (*_way(calls, queue), *described)
    return words


def _way(calls: QueueCalls, queue: str) -> tuple[Word, Word]:
    """How a job gets into *queue*: see ``hand.lua``."""
    if calls.carried:
        return "W", queue
    return ("O", queue) if calls.clustered else ("J", prefix(queue))
