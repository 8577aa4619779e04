"""ClaimStore: who runs which job, for a broker that cannot tell: leases, fences, counters and records by the job's id.

Such a broker carries messages, of which one may come twice or come back; each is a pointer to its job. What is true of
a job stands here. A settle is carried out here first, in one step, and leaves a *parcel*: the messages that are still
to be published. Whoever meets the old message again finds the parcel and publishes it; so nothing is lost in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from umbel.contracts.broker import Beat, Ended, Kind, Reclaimed
from umbel.contracts.jobs import Revoked
from umbel.contracts.powers import Location, SessionInfo
from umbel.model.flow import Join
from umbel.model.job import FIRST, Counts, Delivery


class Pointer(msgspec.Struct, frozen=True, gc=False):
    """A message that asks for its job: *generation* counts how often the job was published anew.

    *copy*: there may be another message of the same generation. *counts* and *deliveries*, how often it was handed out
    before, are what the message itself tells: all there is where nothing is remembered, and otherwise of no use.
    """

    id: str
    generation: int = 0
    copy: bool = False
    counts: Counts = FIRST
    deliveries: int = 0


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a claim came to.

    ======= ==========================================================================================================
    ours    the job is leased to the session; *counts* tell what happened to it before, *returned* whether anything did,
            *envelope* what its holder has amended it to (empty: as it is in the message)
    held    another session has it; *seconds* are left of its lease
    over    the job has ended, or a later message stands for it; *parcel*, if any, is still to be published
    paused  its queue is: nobody gets anything of it before it is resumed; see `umbel.contracts.jobs.QueuePauser`
    ======= ==========================================================================================================
    """

    verdict: Literal["ours", "held", "over", "paused"]
    counts: Counts = FIRST
    returned: bool = False
    parcel: bytes = b""
    seconds: float = 0.0
    envelope: bytes = b""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The store's share of a settlement. *generation* is that of the message which the parcel publishes.

    *joins* and *added* are handed to a `FlowKeeper` only.
    """

    delivery: Delivery
    kind: Kind
    record: bytes = b""
    ttl: float = 0.0
    generation: int = 0
    counts: Counts = FIRST
    delay: float = 0.0
    task: str = ""
    parcel: bytes = b""
    joins: tuple[Join, ...] = ()
    added: tuple[tuple[str, str, int], ...] = ()


class ClaimStore(Protocol):
    """The verbs of `umbel.contracts.broker` that need a memory; seconds, and errors as there."""

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open sessions; see `Broker.heartbeat`."""
        ...

    async def claim(self, session: str, number: int, queue: str, pointers: Sequence[Pointer]) -> list[Answer] | None:
        """Lease the jobs of *pointers* to *session*. Raises `SessionDead`; None: a later number was there first.

        It is not repeated by itself: raises `BrokerUnavailable` where it may have been carried out, `reconcile` then.
        """
        ...

    async def settle(self, session: str, verdicts: Sequence[Verdict]) -> list[bool]:
        """Carry out *verdicts*; answers, per item, whether the delivery was still ours."""
        ...

    async def published(self, queue: str, job_id: str, parcel: bytes, task: str = "") -> None:
        """Forget *parcel*: all of it is published; *task* names under what the job is parked now, if it is.

        The name is noted once more: whoever looked between the settle and now found no message under it.
        """
        ...

    async def reconcile(self, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]) -> list[str]:
        """Give up, uncharged, what *session* has beyond *held*; answers the ids. Raises `SessionDead`."""
        ...

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """See `Broker.mark`."""
        ...

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Free, and charge or doom, the jobs of *ended* and of lapsed sessions; see `Broker.reclaim`."""
        ...

    async def parked(self, queues: Sequence[str], tasks: Collection[str]) -> list[dict[str, int]]:
        """Under which of the names *tasks* jobs may be parked, for each of *queues*, and how often they were."""
        ...

    async def unparked(self, queue: str, tasks: Mapping[str, int]) -> None:
        """Nothing is parked under *tasks* any more, unless a job was since they were counted."""
        ...

    async def queues(self) -> list[str]:
        """The names of all queues in which a session was opened, sorted."""
        ...

    async def running(self, queues: Sequence[str]) -> list[int]:
        """How many jobs are leased in each of *queues*."""
        ...

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """See `Inspector.sessions`."""
        ...

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is, as far as is known here: "ready" for one that was never received."""
        ...

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        ...

    def doom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """See `JobRevoker.doom`: what claims tell of a job, `Answer.counts`, has its doom from now on, for a month.

        Also of one that was not received yet; *returned* is what it was. Without a queue it is doomed where it is
        known, or else in all `queues`.
        """
        ...

    async def adoom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """The async twin of `doom`."""
        ...

    def close(self) -> None:
        """Give back all connections of this process."""

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""


@runtime_checkable
class NoteKeeper(Protocol):
    """A claim store that keeps with a claim what its holder notes; `Location.note` shows it."""

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """See `umbel.contracts.jobs.NoteStore.note`."""
        ...


@runtime_checkable
class EnvelopeKeeper(Protocol):
    """A claim store that keeps with a claim what its holder amends the job to, while the same message stands for it.

    `Answer.envelope` shows it. A verdict that publishes the job anew has it in its parcel, and it is forgotten here.
    """

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """See `umbel.contracts.jobs.Amender.amend`."""
        ...
