"""LimitStore: the power of a broker to keep limits, fair turns and unique keys for all producers and workers at once.

A job under a limit that may not start yet is *held*: it waits in a place of its own, takes no slot, is charged nothing,
and its level orders it within its turn. The engine releases it (it becomes ready) when its limit allows; a worker that
receives a job under a limit asks with `enter` before it runs it, and tells with `leave` when it is over.

* **The worker has the last word.** Jobs come by many ways: sent by name, by a flow, a schedule, a retry, after a delay.
  Those of them that were not released are ready like any other; `enter` holds them then. Only what is sent by `admit`
  is held before anybody received it, so only such a flood leaves the others' turn untouched.
* **Out** is what a limit has released and nobody entered; **in** is what entered and did not leave. A limit releases
  while ``out + in < concurrency`` (if it has one), while its next start is due (if it has an interval) and fewer than
  ``max(burst, 0.1 s / interval)`` are out. An interval counts from the moment of the release; a limit that comes late
  may catch up by one interval or 0.1 s, whichever is more, not by more.
* **A turn** has one out at a time. When k of those of it that were out enter in one call, the same call releases more
  of it until 2 k are out, as long as fewer than 16 jobs of the limit are. So a turn that is alone is served as fast as
  workers ask for its jobs, and yet only twice as many are out as they took at once; a job of a turn of which none is
  out waits for one round at most: what is out by then, which are 16 jobs, or one of each turn if there are more turns.
* **Who releases**: every verb of a limit what it makes room for, and `Broker.receive` and `reclaim` what has fallen
  due, as they make delayed jobs ready. So a `receive` that waits wakes when a limit falls due, and one of those that
  wait learns of it when `admit` or `enter` holds a job that has to wait for it. `Reclaimed.next_due` tells it, too, and
  `promoted` counts the released.
* **Nothing is lost or blocked by a death.** An id stays out or in while its job is ready or running, however often it
  comes back: a job that comes back from a dead session or is released by its worker enters again under the place that
  it has. One that was retried does not: its `Counts.retries` are more than when it entered, so it asks anew. Ids whose
  job is neither ready nor running (ended, dead, parked, delayed by a retry, gone) are forgotten by `Broker.reclaim`, if
  it is called often at least once a second. `leave` does the same for some ids, only sooner: it believes nobody, so one
  that comes late takes no place from a job that runs again.
* **Held jobs** are found, listed, counted, revoked and purged like others that wait (`contracts/jobs.py`). A doomed job
  is not held: `enter` makes it ready and answers "held", so that its next receiver ends it; if the delivery says that
  it is doomed, "run". A paused queue releases as ever: nobody receives from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from umbel.model.job import Delivery, Job
from umbel.model.limit import Limit, Pace, Unique


class Admission(msgspec.Struct, frozen=True, gc=False):
    """A job that is sent, and what it stands under.

    *max_length* is how many jobs its queue may hold at most (0: any number), counted over all that have not ended; dead
    letters have. The smallest of those that are sent to a queue in one call counts.
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

        A job whose unique key another one has is not accepted; one whose id is known changes nothing and stands for
        itself, even if it has ended. One that has a delay or an eta waits as ever, and enters when it is received. Of
        one queue all are accepted or none: raises `QueueFull` if its new jobs do not fit into *max_length*.
        """
        ...

    async def aadmit(self, admissions: Sequence[Admission]) -> list[str]:
        """The async twin of `admit`."""
        ...

    async def enter(self, session: str, entries: Sequence[Entry]) -> list[str]:
        """Ask, before they start, for each delivery of *session*; answers "run", "held", "lost" or "taken:<id>".

        run: it was released, or its limit has room and none of its jobs is held, or it has no limit. held: it is not
        this session's any more, and waits at the end of its level. taken: job <id> has its unique key (scope "done": it
        has not ended; for seconds: it has started within them), and the delivery is still ours, to be ended. lost: it
        was not ours. Whoever runs has the unique key from now on, or with scope "queued" has it no longer. A repeat
        answers the same, or "lost" if the job went on meanwhile.
        """
        ...

    async def leave(self, left: Sequence[tuple[str, Limit, str]]) -> None:
        """Look after these (queue, limit, job id): the places of those that are over are given to others at once.

        For each job under a limit whose delivery was settled, whatever became of it and whether it entered or not.
        """
        ...

    def adjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """Let all limits of *task* in *queue* allow *pace*, whatever its jobs say, until it is adjusted to None."""
        ...

    async def aadjust(self, queue: str, task: str, pace: Pace | None) -> None:
        """The async twin of `adjust`."""
        ...

    async def adjusted(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The (queue, task) of *queues* that are adjusted, in any order.

        Whoever receives asks, with `enter`, for all jobs of these, those of tasks without limits, too.
        """
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
