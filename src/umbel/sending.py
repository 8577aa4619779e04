"""How jobs leave: to the broker at once, or into a transaction of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from umbel import spans
from umbel.contracts.broker import Sender
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.powers import TransactionalSender
from umbel.engines.address import masked
from umbel.model.job import Job
from umbel.request import running
from umbel.settings import Settings
from umbel.signals import after_task_publish
from umbel.telling import Teller


class Host(Protocol):
    """Whose jobs leave: an app."""

    @property
    def broker(self) -> Sender:
        """Where they go."""
        ...

    @property
    def conf(self) -> Settings:
        """The settings that name the broker."""
        ...

    @property
    def teller(self) -> Teller | None:
        """What tells of the jobs in events, if they are told of."""
        ...


def send(host: Host, jobs: Sequence[Job], connection: object | None = None) -> None:
    """Send *jobs* to the broker of *host*; with *connection* they exist when its open transaction commits.

    Raises as `Sender.send`, and `ImproperlyConfigured` for a broker that cannot do that, or a connection that it does
    not understand.
    """
    with spans.sending(jobs):
        if connection is None:
            host.broker.send(jobs)
        else:
            _transactional(host).send_in(jobs, connection)
    if connection is None:
        tell(host, jobs)
    note(jobs)


def tell(host: Host, jobs: Sequence[Job]) -> None:
    """Have events tell that *jobs* were sent. One that is sent in a transaction is seen when it is received first."""
    teller = host.teller
    if teller is not None:
        teller.sent(jobs)


def note(jobs: Sequence[Job]) -> None:
    """Tell whoever wants to know that *jobs* were sent."""
    _note_children(jobs)
    if after_task_publish.receivers:
        from umbel import publishing

        publishing.after(jobs)


async def asend(host: Host, jobs: Sequence[Job], connection: object | None = None) -> None:
    """The async twin of `send`, for an async connection."""
    with spans.sending(jobs):
        if connection is None:
            await host.broker.asend(jobs)
        else:
            await _transactional(host).asend_in(jobs, connection)
    if connection is None:
        tell(host, jobs)
    await anote(jobs)


async def anote(jobs: Sequence[Job]) -> None:
    """The async twin of `note`."""
    _note_children(jobs)
    if after_task_publish.receivers:
        from umbel import publishing

        await publishing.aafter(jobs)


def _note_children(jobs: Iterable[Job]) -> None:
    """Note in the record of the job that runs here that it has sent *jobs*."""
    parent = running.get()
    if parent is not None:
        parent.sent(job.id for job in jobs)


def _transactional(host: Host) -> TransactionalSender:
    broker = host.broker
    demand(broker, Power.TRANSACTIONS, "connection=", masked(host.conf.broker_url))
    assert isinstance(broker, TransactionalSender)  # noqa: S101 - it says so
    return broker
