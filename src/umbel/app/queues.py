"""Queues: `app.queues` lists them, pauses and resumes them, and shows the jobs in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from umbel.app.limiting import LimitInfo, Limiting
from umbel.app.seat import Seat, inspector, job_store, known_queues, queue_pauser, waited
from umbel.contracts.jobs import MAX_TAKEN, Listed, paused_of
from umbel.contracts.powers import QueueCounts
from umbel.exceptions import DecodeError
from umbel.states import Place
from umbel.wire import values
from umbel.wire.envelope import Envelope, decode

PLACES: Final[tuple[Place, ...]] = ("ready", "delayed", "held", "running", "parked", "dead")
"""Where jobs can be listed."""


class QueueInfo(msgspec.Struct, frozen=True):
    """How many jobs of a queue are where, and whether it is paused: then nobody receives from it.

    Those that are *held* wait for their limits.
    """

    queue: str
    ready: int
    delayed: int
    running: int
    parked: int
    dead: int
    paused: bool
    held: int = 0


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A job that has not ended, or a dead letter. Times are unix seconds.

    *due* is when a delayed one may start; *revoked* one ends without being started again. *error* is set instead of
    the task when the envelope cannot be read.
    """

    id: str
    queue: str
    place: Place
    task: str
    args: Any
    kwargs: Any
    priority: int
    created: float | None
    due: float | None
    retries: int
    crashes: int
    revoked: bool
    error: str = ""


Found: TypeAlias = list[QueueInfo]


class Queues:
    """The queues of the app's broker. All raise `ImproperlyConfigured` when it cannot tell, or for an unknown queue."""

    def __init__(self, seat: Seat) -> None:
        """Ask the broker of *seat*."""
        self._seat = seat

    def list(self) -> Found:
        """All queues that hold or held jobs."""
        return waited(self._seat, self.alist())

    async def alist(self) -> Found:
        """The async twin of `list`."""
        look = inspector(self._seat)
        counts = await look.counts(await look.queues())
        paused = await paused_of(self._seat.broker, [one.queue for one in counts])
        return [_info(one, paused=each) for one, each in zip(counts, paused, strict=True)]

    def pause(self, *queues: str) -> None:
        """Let nobody receive from *queues* until they are resumed. Jobs may still be sent, and what runs goes on."""
        waited(self._seat, self.apause(*queues))

    async def apause(self, *queues: str) -> None:
        """The async twin of `pause`."""
        await self._set(queues, paused=True)

    def resume(self, *queues: str) -> None:
        """Let workers receive from *queues* again."""
        waited(self._seat, self.aresume(*queues))

    async def aresume(self, *queues: str) -> None:
        """The async twin of `resume`."""
        await self._set(queues, paused=False)

    def jobs(self, queue: str, place: Place = "ready", *, task: str | None = None) -> Iterator[JobInfo]:
        """The jobs of one *place* (ready, delayed, held, running, parked, dead), read in pages; of one *task* if asked.

        A job that moves meanwhile may be missed or met twice.
        """
        if place not in PLACES:
            raise ValueError(f"jobs that are {place} cannot be listed: give one of {', '.join(PLACES)}")
        store = job_store(self._seat, "listing jobs")
        after = ""
        while page := store.jobs(queue, place, after, MAX_TAKEN):
            after = page[-1].cursor
            yield from (info for info in map(job_info, page) if task is None or info.task == task)

    def limits(self, queue: str) -> Iterator[LimitInfo]:
        """The limits of *queue* that have jobs, or another rate than in the code: how each stands."""
        yield from Limiting(self._seat).limits(queue)

    async def _set(self, queues: Sequence[str], *, paused: bool) -> None:
        pauser = queue_pauser(self._seat, "pausing a queue")
        await known_queues(self._seat, tuple(queues))  # all of them or none: nothing is changed if one is unknown
        for queue in queues:
            await pauser.apause(queue, paused=paused)


def job_info(job: Listed) -> JobInfo:
    """*job* with its envelope read; its arguments as plain values."""
    error, args, kwargs = "", [], {}
    envelope = Envelope("")
    try:
        envelope = decode(job.envelope, len(job.envelope))
        args, kwargs = values.decode(envelope.args), values.decode(envelope.kwargs)
    except DecodeError as reason:
        error = str(reason)
    return JobInfo(
        id=job.id,
        queue=job.queue,
        place=job.place,
        task=envelope.task or job.task,
        args=args,
        kwargs=kwargs,
        priority=9 - job.level,
        created=envelope.created or None,
        due=job.at if job.place == "delayed" else None,
        retries=job.counts.retries,
        crashes=job.counts.crashes,
        revoked=bool(job.counts.doom),
        error=error,
    )


def _info(counts: QueueCounts, *, paused: bool) -> QueueInfo:
    numbers = (counts.ready, counts.delayed, counts.running, counts.parked, counts.dead)
    return QueueInfo(counts.queue, *numbers, paused=paused, held=counts.held)
