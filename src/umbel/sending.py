"""How jobs leave: to the broker at once, or into a transaction of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from umbel.contracts.broker import Sender
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.powers import TransactionalSender
from umbel.model.job import Job
from umbel.request import running
from umbel.signals import after_task_publish


def send(broker: Sender, jobs: Sequence[Job], connection: object | None = None) -> None:
    """Send *jobs*; with *connection* they exist when its open transaction commits. Raises as `Sender.send`.

    `ImproperlyConfigured` for a broker that cannot do that, or a connection that it does not understand.
    """
    if connection is None:
        broker.send(jobs)
    else:
        _transactional(broker).send_in(jobs, connection)
    _note_children(jobs)
    if after_task_publish.receivers:
        from umbel import publishing

        publishing.after(jobs)


async def asend(broker: Sender, jobs: Sequence[Job], connection: object | None = None) -> None:
    """The async twin of `send`, for an async connection."""
    if connection is None:
        await broker.asend(jobs)
    else:
        await _transactional(broker).asend_in(jobs, connection)
    _note_children(jobs)
    if after_task_publish.receivers:
        from umbel import publishing

        await publishing.aafter(jobs)


def _note_children(jobs: Iterable[Job]) -> None:
    """Note in the record of the job that runs here that it has sent *jobs*."""
    parent = running.get()
    if parent is not None:
        parent.sent(job.id for job in jobs)


def _transactional(broker: Sender) -> TransactionalSender:
    demand(broker, Power.TRANSACTIONS, "connection=", type(broker).__name__)
    assert isinstance(broker, TransactionalSender)  # noqa: S101 - it says so
    return broker
