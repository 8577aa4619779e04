"""JobStore: the power of a broker to show and stop single jobs. A broker that has it is a `JobHolder`.

The engine marks and moves; it never decides what a job ends with. Whoever revokes jobs gets those that nobody runs as
deliveries of a session of its own, and settles them like a worker: with their records, joins and follow-ups. If it
dies before that, its session lapses and the jobs go back; they are doomed by then, so their next receiver ends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec

from umbel.contracts.broker import Settlement
from umbel.model.job import FIRST, Counts, Delivery
from umbel.states import Place

WAITING: Final[tuple[Place, ...]] = ("ready", "delayed", "held", "parked")
"""Where jobs are that nobody runs and that have not ended."""

MAX_TAKEN: Final = 1_000
"""The most jobs that one call of `revoke`, `purge`, `revive` or `discard` is handed or answers."""


class Revoked(msgspec.Struct, frozen=True, gc=False):
    """What `revoke` found: where the job was, and its delivery if nobody held it. *place* "unknown": no such job."""

    id: str
    place: Place
    queue: str = ""
    delivery: Delivery | None = None


class Listed(msgspec.Struct, frozen=True, gc=False):
    """A job as `jobs` shows it.

    *at* is unix seconds: when a delayed job is due, when a dead one was buried; else None. *session* holds a running
    one. *cursor* is what to hand to `jobs` to go on after it. *task* is what a parked one waits for.
    """

    id: str
    queue: str
    place: Place
    level: int
    envelope: bytes
    cursor: str
    counts: Counts = FIRST
    at: float | None = None
    session: str = ""
    note: bytes = b""
    task: str = ""


class NoteStore(Protocol):
    """Where running jobs note their progress; errors as `Sender.send`."""

    async def note(self, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Keep with each job what its holder notes of its progress; answers which deliveries were still ours.

        The last note of a job is shown by `jobs` and `Inspector.locate`, and is gone with the job.
        """
        ...


@runtime_checkable
class NoteHolder(Protocol):
    """A broker that keeps notes, though it may show and stop no single job."""

    @property
    def note_store(self) -> NoteStore:
        """Where notes are kept on this engine."""
        ...


@runtime_checkable
class QueuePauser(Protocol):
    """Where queues are paused and resumed; errors as `Sender.send`."""

    def pause(self, queue: str, *, paused: bool) -> None:
        """Let nobody receive from *queue* until it is resumed (*paused* false); all else goes on."""
        ...

    async def apause(self, queue: str, *, paused: bool) -> None:
        """The async twin of `pause`."""
        ...

    def paused(self, queues: Sequence[str]) -> list[bool]:
        """Which of *queues* are paused."""
        ...

    async def apaused(self, queues: Sequence[str]) -> list[bool]:
        """The async twin of `paused`."""
        ...


@runtime_checkable
class PauserHolder(Protocol):
    """A broker that pauses queues, though it may show and stop no single job."""

    @property
    def queue_pauser(self) -> QueuePauser:
        """Where queues are paused on this engine."""
        ...


@runtime_checkable
class Amender(Protocol):
    """Where the holder of a job replaces its envelope; errors as `Sender.send`."""

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Replace, durably, the envelope of each job by what its holder gives; answers which were still ours.

        Whoever receives the job after a retry, a release or a crash gets the new one; so does who looks at it.
        """
        ...


class JobStore(NoteStore, QueuePauser, Amender, Protocol):
    """The verbs of single jobs; errors as `Sender.send`. Each call is one atomic step a queue; a repeat is harmless."""

    def revoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """Doom each job of *keys*, (id, queue or None: look everywhere), durably; answers one by one.

        A job that waits (see `WAITING`) is leased to *session*, which must be a new one and is opened here for *lease*
        seconds: its receive number is 1. A running one keeps its holder; a retry, release or park of it makes it ready
        at once. Dead and ended jobs are only told of. A repeat answers as running, with its delivery, what
        *session* has got. Raises `SessionDead` for a session that is over.
        """
        ...

    async def arevoke(self, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> list[Revoked]:
        """The async twin of `revoke`."""
        ...

    def purge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """Doom and lease to the new *session* up to *limit* jobs that wait in *queue*, wherever they do.

        A repeat answers first what *session* has got.
        """
        ...

    async def apurge(self, session: str, queue: str, limit: int, lease: float) -> list[Delivery]:
        """The async twin of `purge`."""
        ...

    def end(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """`Broker.settle` for what was leased to *session* by `revoke` or `purge`; then the session is closed.

        What it holds beyond *settlements* goes back to ready.
        """
        ...

    async def aend(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """The async twin of `end`."""
        ...

    def jobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """Up to *limit* jobs of one place after the cursor *after* ("": from the start), about in the order they leave.

        *place* is ready, delayed, held, running, parked or dead. A list that changes meanwhile may miss or repeat a
        job; it ends all the same.
        """
        ...

    async def ajobs(self, queue: str, place: Place, after: str, limit: int) -> list[Listed]:
        """The async twin of `jobs`."""
        ...

    def revive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Make dead letters ready again, at the end of their level: counts begin anew, their records here are deleted.

        Answers which were dead letters.
        """
        ...

    async def arevive(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `revive`."""
        ...

    def discard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """Delete dead letters for ever; their records stay. Answers which were dead letters."""
        ...

    async def adiscard(self, queue: str, ids: Sequence[str]) -> list[bool]:
        """The async twin of `discard`."""
        ...


@runtime_checkable
class JobHolder(Protocol):
    """A broker that can show and stop single jobs."""

    @property
    def job_store(self) -> JobStore:
        """The verbs of single jobs on this engine."""
        ...


def notes_of(broker: object) -> NoteStore | None:
    """Where *broker* keeps notes, if it does."""
    if isinstance(broker, NoteHolder):
        return broker.note_store
    return broker.job_store if isinstance(broker, JobHolder) else None


def pauser_of(broker: object) -> QueuePauser | None:
    """Where queues of *broker* are paused, if they are."""
    if isinstance(broker, PauserHolder):
        return broker.queue_pauser
    return broker.job_store if isinstance(broker, JobHolder) else None


def amender_of(broker: object) -> Amender | None:
    """Where jobs of *broker* are amended, if they are."""
    if isinstance(broker, Amender):
        return broker
    return broker.job_store if isinstance(broker, JobHolder) else None


async def paused_of(broker: object, queues: Sequence[str]) -> list[bool]:
    """Which of *queues* are paused at *broker*; none where it pauses none."""
    pauser = pauser_of(broker) if queues else None
    return [False] * len(queues) if pauser is None else await pauser.apaused(queues)


@runtime_checkable
class JobRevoker(Protocol):
    """A broker that can doom jobs and no more: it finds none that waits, and takes none from its queue."""

    def doom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """Doom each job of *keys*, (id, queue or None: in any queue that a worker has served), durably.

        Nobody need have received it yet. It stays where it is, until its next receiver ends it. What has ended or is
        dead is only told of. Answers one by one, without deliveries; *place* "unknown": it was not received yet, or
        there is no such job. Errors as `Sender.send`.
        """
        ...

    async def adoom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """The async twin of `doom`."""
        ...
