"""LimitStore: the power of a broker to keep limits, fair turns and unique keys for all producers and workers at once.

A job under a limit that may not start yet is *held*: it waits in a place of its own, takes no slot, is charged nothing,
and its level orders it within its turn. The engine releases it (it becomes ready) when its limit allows; a worker that
receives a job under a limit asks with `enter` before it runs it, and tells with `leave` when it is over.

* **The worker has the last word.** Jobs come by many ways: sent by name, by a flow, a schedule, a retry, after a delay.
  Those of them that were not released are ready like any other; `enter` holds them then. Only what is sent by `admit`
  is held before anybody received it, so only such a flood leaves the others' turn untouched.
* **Out** is what a limit has released and nobody entered; **in** is what entered and did not leave. A limit releases
  while ``out + in < concurrency`` (if it has one), while its next start is due (if it has an interval) and fewer than
  ``max(burst, 0.1 s / interval)`` are out, and for a turn only while none of it is out. An interval counts from the
  moment of the release; a limit that comes late may catch up by one interval or 0.1 s, whichever is more, not by more.
* **Nothing is lost or blocked by a death.** An id stays out or in while its job is ready or running, however often it
  comes back: a job that comes back from a dead session enters again under the place that it has. Ids whose job is
  neither any more (ended, delayed by a retry, revoked, gone) are forgotten by `Broker.reclaim`, which also releases
  what is due, and tells in `Reclaimed.next_due` when there is more to release. `leave` is only sooner.
* **Held jobs** are found, listed, counted, revoked and purged like others that wait (`contracts/jobs.py`), a doomed one
  is released at once whatever the limit. A paused queue releases as ever: nobody receives from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from umbel.model.job import Delivery, Job
from umbel.model.limit import Limit, Pace, Unique


class Admission(msgspec.Struct, frozen=True, gc=False):
    """A job that is sent, and what it stands under.

    *max_length* is how many jobs its queue may hold at most (0: any number), counted over all that have not ended.
    """

    job: Job
    limit: Limit | None = None
    unique: Unique | None = None
    max_length: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A delivery that is about to start, and what it stands under."""

    delivery: Delivery
    limit: Limit | None = None
    unique: Unique | None = None


class Standing(msgspec.Struct, frozen=True):
    """How one limit stands: what it allows now, whether `adjust` said so, and how many jobs are where.

    *turns* counts those that have jobs held.
    """

    limit: Limit
    pace: Pace
    adjusted: bool = False
    held: int = 0
    out: int = 0
    entered: int = 0
    turns: int = 0


class LimitStore(Protocol):
    """The verbs of limits. Each call is one atomic step a queue; a repeat is harmless. Errors as `Sender.send`."""

    def admit(self, admissions: Sequence[Admission]) -> list[str]:
        """`Sender.send` under limits; answers, one by one, the id that stands: the job's own, or that of the holder.

        A job whose unique key another live job has is not accepted. One that has a delay or an eta waits as ever, and
        enters when it is received. Of one queue all are accepted or none: raises `QueueFull` if its new jobs (those
        whose id is not known yet) do not fit into *max_length*.
        """
        ...

    async def aadmit(self, admissions: Sequence[Admission]) -> list[str]:
        """The async twin of `admit`."""
        ...

    async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
        """Ask, before they start, for each delivery of *session*; answers "run", "held", "lost" or "taken:<id>".

        run: it was released, or its limit has room and nobody held before it, or it has no limit. held: it is not this
        session's any more, and waits. taken: job <id> has its unique key (scope "done", or for seconds); the delivery
        is still ours, to be ended. lost: it was not ours. Whoever runs has the unique key from now on.
        """
        ...

    async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
        """These (queue, limit, job id) do not run any more: their places are given to others at once."""
        ...

    def adjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """Let all limits of *task* in *queue* allow *pace*, whatever its jobs say, until it is adjusted to None."""
        ...

    async def aadjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """The async twin of `adjust`."""
        ...

    def limits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """Up to *limit* limits of *queue* that have jobs or an adjustment, each with its cursor, after *after* ("")."""
        ...

    async def alimits(self, queue: str, after: str, limit: int) -> list[tuple[str, Standing]]:
        """The async twin of `limits`."""
        ...


@runtime_checkable
class LimitHolder(Protocol):
    """A broker that keeps limits."""

    @property
    def limit_store(self) -> LimitStore:
        """The verbs of limits on this engine."""
        ...
