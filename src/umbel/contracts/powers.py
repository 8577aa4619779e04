"""Optional powers of an engine, each a Protocol of its own, found by isinstance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from umbel.contracts.broker import Settlement
from umbel.model.job import Doom, Job
from umbel.states import Place


class QueueCounts(msgspec.Struct, frozen=True):
    """How many jobs of one queue are where; a job whose delay is over is ready, whoever has noticed.

    *oldest* is the envelope of the job that is ready for longest, if any.
    """

    queue: str
    ready: int = 0
    delayed: int = 0
    running: int = 0
    parked: int = 0
    dead: int = 0
    oldest: bytes | None = None
    held: int = 0


class SessionInfo(msgspec.Struct, frozen=True):
    """An open session: the info of its last heartbeat, seconds left of its lease, ids of the jobs it holds."""

    session: str
    info: bytes
    lease_left: float
    held: tuple[str, ...] = ()


class Location(msgspec.Struct, frozen=True):
    """Where a job is, and how often it was retried; *queue* is empty when it is unknown.

    *doom* tells that it was revoked, or must not run again for another reason; *note* is what it last noted of its
    progress (`JobStore.note`). *guessed*: nothing is known of it, so it is taken to wait where no worker has received
    it: there the engine, RabbitMQ, cannot be asked for it.
    """

    place: Place
    queue: str = ""
    retries: int = 0
    doom: Doom = ""
    note: bytes = b""
    guessed: bool = False


@runtime_checkable
class Inspector(Protocol):
    """What an engine can tell of the jobs it holds. Reads only."""

    async def queues(self) -> list[str]:
        """The names of all queues that hold or held jobs, sorted."""
        ...

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Exact numbers for each of *queues*."""
        ...

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """The open sessions of *queues*, each once."""
        ...

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Find one job; *queue* None looks in every queue."""
        ...

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        ...


@runtime_checkable
class TransactionalSender(Protocol):
    """A broker that accepts jobs in a transaction of the user's own: they exist when it commits, and not before.

    *connection* is one of a driver or toolkit that the engine understands, with its transaction open. Whoever waits for
    work looks within 5 s after the commit, sooner if the engine sees it; `announce`, called then, has one look at once.
    Errors: those of the connection; `ImproperlyConfigured` for one that is not understood.
    """

    def send_in(self, jobs: Sequence[Job], connection: object) -> None:
        """Accept *jobs* in the open transaction of *connection*."""
        ...

    async def asend_in(self, jobs: Sequence[Job], connection: object) -> None:
        """The async twin of `send_in`, for an async connection."""
        ...

    def announce(self, jobs: Sequence[Job]) -> None:
        """Wake workers for *jobs*, which were committed by now."""
        ...

    async def aannounce(self, jobs: Sequence[Job]) -> None:
        """The async twin of `announce`."""
        ...


@runtime_checkable
class TransactionalSettler(Protocol):
    """A broker that ends a job in a transaction of the user's own: what else is written there counts exactly once.

    *connection* and errors are as in `TransactionalSender`. Until it ends, the transaction keeps the session from being
    declared dead, so an engine must not let it be silent for long.
    """

    def settle_in(self, session: str, settlement: Settlement, connection: object) -> bool:
        """Carry out *settlement* in the transaction of *connection*; answers whether the delivery is still ours."""
        ...

    async def asettle_in(self, session: str, settlement: Settlement, connection: object) -> bool:
        """The async twin of `settle_in`, for an async connection."""
        ...

    def confirm(self, session: str, settlement: Settlement) -> bool:
        """Whether `settle_in` was committed, asked when its transaction is over; wakes whoever waits for it."""
        ...

    async def aconfirm(self, session: str, settlement: Settlement) -> bool:
        """The async twin of `confirm`."""
        ...


class Record(msgspec.Struct, frozen=True, gc=False):
    """A terminal record on its way into a store that is not the broker; *ttl* seconds; *owner* is the fence."""

    id: str
    queue: str
    value: bytes
    ttl: float
    owner: str = ""


@runtime_checkable
class ResultStore(Protocol):
    """Where terminal records live. The first record of an id wins and never changes. Safe between threads.

    *queue* is a hint where to look (an engine that needs none ignores it); None looks everywhere. An empty record is
    the mark of a job that ended without a result. Errors: `BackendError`; unreachable: `BrokerUnavailable`.
    """

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The record of *job_id*, or None."""
        ...

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The async twin of `fetch`."""
        ...

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record up to *timeout* seconds (None: for ever) without polling; None when time is up."""
        ...

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """The async twin of `watch`; cancelling it leaves nothing behind."""
        ...

    def forget(self, job_id: str, queue: str | None) -> None:
        """Delete the record, if there is one."""
        ...

    async def aforget(self, job_id: str, queue: str | None) -> None:
        """The async twin of `forget`."""
        ...

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records; answers which are now stored as given (False: another one was first, or another owner).

        An id that was claimed takes a record only from the claim's owner; once stored, repeating is True for the same
        bytes.
        """
        ...

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim each id for its *owner* (value unused, *ttl* seconds); answers the record where one is already there.

        A later claim takes over an earlier one: the broker decided who holds the job, the store follows.
        """
        ...

    def close(self) -> None:
        """Give back all connections of this process."""

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""


@runtime_checkable
class ManyFetcher(Protocol):
    """A result store that reads many records in one round trip; errors as `ResultStore`."""

    def fetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The record of each of *job_ids*, or None; *queue* is a hint for all of them."""
        ...

    async def afetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The async twin of `fetch_many`."""
        ...
