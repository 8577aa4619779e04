"""Seat: where those sit who control, as they see it of an app; and what its broker must be able to do for them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from umbel.app.commands import Commands
from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.jobs import JobStore, QueuePauser, pauser_of
from umbel.contracts.mailbox import Mailbox, MailboxHolder
from umbel.contracts.powers import Inspector, ResultStore
from umbel.decorators import AnyTask
from umbel.engines.address import masked
from umbel.exceptions import ImproperlyConfigured
from umbel.settings import Settings
from umbel.telling import Teller
from umbel.to_end import to_end

T = TypeVar("T")


class Seat(Protocol):
    """What control needs of the app."""

    main: str | None

    @property
    def conf(self) -> Settings:
        """The settings."""
        ...

    @property
    def broker(self) -> Broker:
        """Where the jobs are."""
        ...

    @property
    def store(self) -> ResultStore:
        """Where the records are."""
        ...

    @property
    def same_engine(self) -> bool:
        """Whether the broker stores the records itself, with the verdict."""
        ...

    @property
    def teller(self) -> Teller | None:
        """What tells of jobs and flows in events, if they are told of."""
        ...

    @property
    def commands(self) -> Commands:
        """The commands that the app adds to those of workers."""
        ...

    @property
    def tasks(self) -> Mapping[str, AnyTask]:
        """The tasks known here."""
        ...


def place_of(seat: Seat) -> str:
    """The URL of the broker as it may be shown."""
    return masked(seat.conf.broker_url)


def job_store(seat: Seat, what: str) -> JobStore:
    """The verbs of single jobs, for *what*. Raises `ImproperlyConfigured` when the broker has none."""
    broker = seat.broker
    demand(broker, Power.JOBS, what, place_of(seat))
    store: JobStore | None = getattr(broker, "job_store", None)  # see powers_of
    if store is None:
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it shows single jobs, and has no job_store")
    return store


def queue_pauser(seat: Seat, what: str) -> QueuePauser:
    """What pauses queues, for *what*. Raises `ImproperlyConfigured` when the broker pauses none."""
    broker = seat.broker
    demand(broker, Power.PAUSES, what, place_of(seat))
    pauser = pauser_of(broker)
    if pauser is None:
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it pauses queues, and has nothing for it")
    return pauser


def mailbox(seat: Seat, what: str) -> Mailbox:
    """What carries letters to workers, for *what*. Raises `ImproperlyConfigured` when the broker carries none."""
    broker = seat.broker
    demand(broker, Power.MAILBOX, what, place_of(seat))
    if not isinstance(broker, MailboxHolder):
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it carries messages, and has no mailbox")
    return broker.mailbox


def inspector(seat: Seat) -> Inspector:
    """What tells of jobs and sessions. Raises `ImproperlyConfigured` when the broker cannot tell."""
    broker = seat.broker
    if not isinstance(broker, Inspector):
        raise ImproperlyConfigured(f"the broker {place_of(seat)} cannot tell what it holds: use its own tools")
    return broker


def waited(seat: Seat, asking: Coroutine[Any, Any, T]) -> T:
    """What *asking* returns, blocking; what it opened for that is given back."""
    return to_end(asking, seat.broker.aclose)


async def known_queues(seat: Seat, queues: tuple[str, ...]) -> tuple[str, ...]:
    """*queues*, or all that the broker knows. Raises `ImproperlyConfigured` for one that holds and held nothing."""
    known = await inspector(seat).queues()
    unknown = [queue for queue in queues if queue not in known]
    if unknown:
        there = ", ".join(known) or "none"
        raise ImproperlyConfigured(f"the queue {unknown[0]!r} is unknown at {place_of(seat)}; known are: {there}")
    return queues or tuple(known)
