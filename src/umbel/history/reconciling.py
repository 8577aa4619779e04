"""Reconciling: records of jobs that are not over and were not heard of for long are checked against the broker.

What happened to them was told in events that were lost. So they are looked for where the truth is: a job that has a
record of its result has ended so; one that the broker knows nothing of is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from umbel.contracts.fetching import afetch_many
from umbel.contracts.history import Archive, Transaction
from umbel.contracts.powers import Inspector, Location, ResultStore
from umbel.exceptions import DecodeError, UmbelError
from umbel.history.counters import Counters
from umbel.history.flows import FlowCounts
from umbel.history.ingest import Ingest
from umbel.history.states import CODES, GOES_ON, OVER
from umbel.model.event import Event
from umbel.model.outcome import Result
from umbel.states import FAILURE, REVOKED, Place
from umbel.wire import record

SILENT_SECONDS: Final = 600.0
READ_SECONDS: Final = 10.0
AT_ONCE: Final = 1_000
UNKNOWN_LEVEL: Final = 4
"""Below that of every end that is told: one that arrives late still counts."""
_PLACES: Final[dict[Place, str]] = {
    "ready": "queued",
    "held": "queued",
    "delayed": "scheduled",
    "running": "running",
    "parked": "parked",
}


class Silent(msgspec.Struct, frozen=True):
    """A job that was not heard of for long."""

    seq: int
    id: str
    queue: str
    state: str
    attempt: int


class Reconciler:
    """Checks silent jobs of *archive* against where the jobs and the results are; *clock* answers unix seconds."""

    def __init__(
        self, archive: Archive, inspector: Inspector, store: ResultStore | None, clock: Callable[[], float]
    ) -> None:
        self._archive = archive
        self._inspector = inspector
        self._store = store
        self._clock = clock
        self._ingest = Ingest(archive)

    async def sweep(self) -> int:
        """Check up to 1,000 silent jobs, and answer how many; when those were all, gaps of before are closed.

        Errors are those of broker and result store; then nothing was changed.
        """
        now = self._clock()
        silent = await asyncio.to_thread(self._silent, now)
        records = await self._records(silent)
        ended: list[Event] = []
        located: list[tuple[Silent, Location]] = []
        for job in silent:
            told = _ended(job, records.get(job.id))
            if told is not None and told.kind != "task-failed":
                ended.append(told)
                continue
            location = await self._inspector.alocate(job.id, job.queue or None)
            if told is None:
                located.append((job, location))
            else:  # a dead letter has a record, too
                ended.append(msgspec.structs.replace(told, kind="task-dead") if location.place == "dead" else told)
        await asyncio.to_thread(self._correct, ended, located, now, len(silent) < AT_ONCE)
        return len(silent)

    def _silent(self, now: float) -> list[Silent]:
        def step(transaction: Transaction) -> list[tuple[Any, ...]]:
            return transaction.rows("keeping.silent", now - SILENT_SECONDS, AT_ONCE)

        return [Silent(*row) for row in self._archive.read(step, READ_SECONDS)]

    async def _records(self, silent: Sequence[Silent]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        if self._store is None:
            return found
        by_queue: dict[str, list[str]] = {}
        for job in silent:
            by_queue.setdefault(job.queue, []).append(job.id)
        for queue, ids in by_queue.items():
            told = await afetch_many(self._store, ids, queue or None)
            found.update((job_id, each) for job_id, each in zip(ids, told, strict=True) if each is not None)
        return found

    def _correct(
        self, ended: Sequence[Event], located: Sequence[tuple[Silent, Location]], now: float, complete: bool
    ) -> None:
        self._ingest.correct(ended, now)

        def step(transaction: Transaction) -> None:
            counters, flows = Counters(transaction), FlowCounts()
            for (job, location), change in zip(located, counters.take("change", len(located)), strict=True):
                before = transaction.rows("keeping.state_of", job.seq)
                if not before:  # it was told meanwhile
                    continue
                state, grade = _standing(location)
                flows.leave(*before[0])
                flows.enter(before[0][0], CODES[state])
                finished = now if grade else None
                transaction.rows("keeping.correct", job.seq, CODES[state], grade, UNKNOWN_LEVEL, finished, now, change)
            flows.save(transaction, now)
            if complete:
                transaction.rows("keeping.close_gaps", now - SILENT_SECONDS, now)
            counters.save()

        self._archive.write(step)


def _standing(location: Location) -> tuple[str, int]:
    """State and grade of a job that the broker tells the place of."""
    if location.place == "dead":
        return "dead", OVER - 1
    state = _PLACES.get(location.place)
    if state == "scheduled" and location.retries:
        return "retrying", GOES_ON
    return (state, GOES_ON) if state else ("unknown", OVER)


def _ended(job: Silent, told: bytes | None) -> Event | None:
    """The event that would have told of the end that is recorded; None if the record does not say."""
    if not told:
        return None
    try:
        found: Result = record.decode(told)
    except DecodeError:
        return None
    body: dict[str, Any] = {"run": found.run} if found.run else {}
    failure = found.failure
    if failure is not None:
        own = failure.module != "builtins"
        body["error"] = f"{failure.module}.{failure.type}" if own else failure.type
        body |= {"message": failure.message, "traceback": failure.traceback}
    kind = {FAILURE: "task-failed", REVOKED: "task-revoked"}.get(found.state, "task-succeeded")
    attempt = max(job.attempt, found.retries + 1)
    return Event(msgspec.convert(kind, Any), found.done, job.id, found.task, found.queue or job.queue, attempt, body)


TROUBLE: Final = (UmbelError, OSError)
"""What a sweep may stumble over, and is to be tried again later."""
