"""What the server acknowledged in the last seconds: kept, because a failover or a restart may have lost it.

A failover goes to a replica that may lag, a restart reads a file that may lack the last second. Sends and settles may
be repeated at any time, so what is kept is said again to a server that is not the one that acknowledged it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.limit_packing import admitting
from umbel.brokers.redis.packing import batches
from umbel.contracts.broker import Settlement
from umbel.contracts.limits import Admission
from umbel.engines.redis_command import Command
from umbel.engines.redis_jobs import chunks
from umbel.model.job import Job

KEPT_SECONDS: Final = 10.0
MAX_KEPT_BYTES: Final = 4 * 1024 * 1024
REPEATED_SECONDS: Final = 30.0
"""Nothing older is said again, although an idle process still keeps it: its job may have ended and been forgotten."""

_OBJECT_BYTES: Final = 256

T = TypeVar("T")
_Kept: TypeAlias = tuple[float, int, str, Sequence[T]]
"""When, how many bytes had been kept before, by which session, what."""


class Window(Generic[T]):
    """Items of one process, in the order in which they were acknowledged: of ten seconds, and at most 4 MiB."""

    def __init__(self) -> None:
        self._kept: deque[_Kept[T]] = deque()
        self._total = 0

    def keep(self, items: Sequence[T], size: int, session: str = "") -> None:
        """Keep *items*, whose bytes are *size*, and drop what is older or too much.

        Threads share it without a lock, which a fork could leave locked: sizes are differences of a running total, so
        that a count lost between two threads makes one difference wrong, and not all that come after.
        """
        now = time.monotonic()
        before = self._total
        total = self._total = before + size + _OBJECT_BYTES * len(items)
        kept = self._kept
        kept.append((now, before, session, items))
        old, too_much = now - KEPT_SECONDS, total - MAX_KEPT_BYTES
        try:
            while kept[0][0] < old or kept[0][1] < too_much:
                self._drop(kept[0])
        except IndexError:
            return  # nothing is left

    def _drop(self, first: _Kept[T]) -> None:
        """Drop *first*, unless another thread was quicker."""
        found = self._kept.popleft()
        if found is not first:
            self._kept.appendleft(found)

    def recent(self) -> list[tuple[float, str, Sequence[T]]]:
        """How many seconds ago, by which session, and what."""
        now = time.monotonic()
        return [
            (now - at, session, items) for at, _, session, items in tuple(self._kept) if now - at <= REPEATED_SECONDS
        ]


class Acknowledged:
    """What this process was told is done, and the calls that say it again."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._sends: Window[Job] = Window()
        self._admissions: Window[Admission] = Window()
        self._settles: Window[Settlement] = Window()
        self._commands: Window[Command] = Window()

    def sent(self, jobs: Sequence[Job]) -> None:
        """Keep *jobs*, which were just accepted."""
        self._sends.keep(jobs, sum([len(job.envelope) for job in jobs]))

    def admitted(self, admissions: Sequence[Admission]) -> None:
        """Keep *admissions*, which were just accepted."""
        self._admissions.keep(admissions, sum([len(each.job.envelope) for each in admissions]))

    def settled(self, session: str, settlements: Sequence[Settlement]) -> None:
        """Keep *settlements* of *session*, which were just carried out."""
        size = sum([len(each.record) + len(each.envelope) + len(each.delivery.envelope) for each in settlements])
        self._settles.keep(settlements, size, session)

    def commanded(self, commands: Sequence[Command], size: int) -> None:
        """Keep *commands*, which started a flow or stopped jobs and may be repeated."""
        self._commands.keep(commands, size)

    def commands(self) -> list[Command]:
        """All of it again: jobs that are known or have ended and verdicts that were carried out change nothing."""
        jobs = [_aged(job, age) for age, _, items in self._sends.recent() for job in items]
        settles = self._settles.recent()
        admissions = [
            msgspec.structs.replace(each, job=_aged(each.job, age))
            for age, _, items in self._admissions.recent()
            for each in items
        ]
        queues = {job.queue for job in jobs} | {each.job.queue for each in admissions}
        queues |= {job.queue for _, _, items in settles for item in items for job in item.follow_ups}
        return [
            *([self._calls.register(queues)] if queues else ()),
            *(self._calls.make("send", queue, words) for queue, words in chunks(jobs)),
            *(command for command, _ in admitting(self._calls, admissions)),
            *(command for _, _, items in self._commands.recent() for command in items),
            *(command for _, session, items in settles for command in _settling(self._calls, session, items)),
        ]


def _settling(calls: Calls, session: str, settlements: Sequence[Settlement]) -> list[Command]:
    return [
        calls.make(
            batch.script, batch.queue, (session, calls.channel, len(batch.places), *batch.items, *batch.operations)
        )
        for batch in batches(settlements, apart=calls.clustered)
    ]


def _aged(job: Job, seconds: float) -> Job:
    """*job* with the time left that it had to wait, when it was sent *seconds* ago."""
    return msgspec.structs.replace(job, delay=max(0.0, job.delay - seconds)) if job.delay else job
