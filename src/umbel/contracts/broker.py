"""The broker contract: a few verbs, each one atomic step that may be repeated safely.

`umbel.testing.conformance` is the specification: its test names are the guarantees in English.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from umbel.model.flow import Join
from umbel.model.job import Counts, Delivery, Doom, Job

Kind = Literal["end", "dead", "retry", "release", "park"]

DONE_MARK_SECONDS = 120.0
"""How long an ended job without a record is remembered, so that a resend of its id is refused."""


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The verdict on one delivery, ready for a broker.

    ======== =====================================================================================================
    end      the job is over: its record is stored (first wins) for *ttl* seconds, or a done mark if *record* is empty
    dead     as `end`, and the envelope is kept as a dead letter under the same id
    retry    back to its level in *delay* seconds with *counts*; *envelope* replaces the old one unless empty
    release  back to the front of its level, nothing charged
    park     set aside under the task name *task* until a worker asks for that name
    ======== =====================================================================================================

    *follow_ups* are sent, *added* (flow, home, node) wait for one member more, and then *joins* are carried out: all in
    the same step, and only if the delivery was still ours. Joins go with `end` and `dead`; a broker that is no
    `FlowHolder` is never handed one.
    """

    delivery: Delivery
    kind: Kind
    record: bytes = b""
    ttl: float = DONE_MARK_SECONDS
    delay: float = 0.0
    counts: Counts | None = None
    envelope: bytes = b""
    task: str = ""
    follow_ups: tuple[Job, ...] = ()
    joins: tuple[Join, ...] = ()
    added: tuple[tuple[str, str, int], ...] = ()


class Beat(msgspec.Struct, frozen=True, gc=False):
    """A sign of life of one session; *info* is opaque bytes shown by `Inspector.sessions` (who, where, doing what)."""

    session: str
    info: bytes = b""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A session whose process is seen to be gone, and the ids of the jobs it had started.

    *doomed* are (id, doom) of jobs for whose sake it was ended: they are not charged, and never run again.
    """

    session: str
    started: tuple[str, ...] = ()
    doomed: tuple[tuple[str, Doom], ...] = ()


class Reclaimed(msgspec.Struct, frozen=True, gc=False):
    """What a reclaim moved, and in how many seconds there is something to do again (None: nothing known)."""

    promoted: int = 0
    returned: int = 0
    next_due: float | None = None
    next_deadline: float | None = None


class SessionDead(Exception):
    """The session was declared dead: it receives and settles nothing and is never revived."""


@runtime_checkable
class Sender(Protocol):
    """All of a broker that a producer touches; safe to share between threads."""

    def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs* in one atomic step a queue; an id sent twice, or that has ended lately, is kept once.

        Raises `BrokerUnavailable` after the send deadline, `BrokerFull`, `QueueFull` or `BrokerError`.
        """

    async def asend(self, jobs: Sequence[Job]) -> None:
        """The async twin of `send`."""

    def close(self) -> None:
        """Give back all connections of this process."""

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""


@runtime_checkable
class Broker(Sender, Protocol):
    """The worker's half: children receive and settle, their supervisor does the rest. Seconds and unix times.

    A session is opened in every queue it will receive from, once. After it was declared dead it receives nothing, its
    settles answer False, and no heartbeat revives it.
    """

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew the lease of each session for *lease* seconds, or open them; answers which are alive.

        Opening a session that is or was open answers False for it.
        """
        ...

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease up to *limit* ready jobs to *session*, most urgent first; waits up to *wait* seconds for the first.

        May answer an empty list early. Raises `SessionDead` when the session was declared dead in every queue.
        Cancelling it while it waits loses nothing.
        """
        ...

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out verdicts; answers, per item, whether the delivery was still ours. A repeat changes nothing.

        Record, follow-ups and removal are one atomic step a queue. A dead session answers False for each.
        """
        ...

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return to ready, uncharged, whatever the broker holds for *session* beyond *held*; answers how many.

        The answer to a `receive` that was on its way is refused afterwards. Raises `SessionDead`.
        """
        ...

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note durably that the quarantined *delivery* is about to start: if its session lapses, it is a crash."""
        ...

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Make due jobs ready and return the jobs of *ended* and of lapsed sessions to the front; never buries.

        A job named as started is charged a crash, its neighbours nothing; a job of a lapsed session is charged a loss,
        or a crash if it was marked. At most 200 jobs are moved a call; call again while it returns some.
        """
        ...

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make ready again the jobs parked under the names *tasks*; answers how many."""
        ...
