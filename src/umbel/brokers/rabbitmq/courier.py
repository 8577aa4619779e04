"""Courier: sends on what flows and schedules have left in the outboxes of the claim store."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, TypeAlias

from umbel.brokers.rabbitmq import posts
from umbel.brokers.rabbitmq.mail import Mail
from umbel.contracts.outbox import Outbox, Portion, Taking
from umbel.engines.amqp import Engine
from umbel.engines.amqp_letter import copied
from umbel.engines.operation import adrive, drive
from umbel.model.ids import new_id
from umbel.model.job import Job

MAX_SENT: Final = 200

_Round: TypeAlias = Generator[Taking | Sequence[Job], Any, Portion]


class Courier:
    """Takes jobs from an outbox, publishes them, and has them taken out when RabbitMQ has confirmed them."""

    def __init__(self, engine: Engine, mail: Mail, outbox: Outbox) -> None:
        self._engine = engine
        self._mail = mail
        self._outbox = outbox

    def send_on(self, home: str) -> None:
        """Send all that lies in the outbox of *home*, unless somebody does already. Raises as `Mail.deliver`."""
        drive(_emptied(home), self._do)

    async def asend_on(self, home: str) -> None:
        """The async twin of `send_on`."""
        await adrive(_emptied(home), self._ado)

    async def pump(self, home: str) -> None:
        """Send all that lies in the outbox of *home*, and all that nodes which have opened still put there."""
        await adrive(_emptied(home, MAX_SENT), self._ado)

    async def relieve(self, home: str) -> tuple[int, float]:
        """Send what nobody else has sent on, at most 200 jobs; answers how many, and for how long somebody sends.

        A dead process may have published some: these are copies.
        """
        sender = new_id()
        portion = await self._outbox.atake(Taking(home, sender, limit=MAX_SENT, pump=MAX_SENT))
        if portion.jobs:
            await self._deliver(portion.jobs, copies=True)
            sent = tuple(job.id for job in portion.jobs)
            await self._outbox.atake(Taking(home, sender, sent))
        return len(portion.jobs), portion.seconds

    def _do(self, step: Taking | Sequence[Job]) -> Portion | None:
        if isinstance(step, Taking):
            return self._outbox.take(step)
        self._engine.call(self._deliver(step))
        return None

    async def _ado(self, step: Taking | Sequence[Job]) -> Portion | None:
        if isinstance(step, Taking):
            return await self._outbox.atake(step)
        await self._deliver(step)
        return None

    async def _deliver(self, jobs: Sequence[Job], *, copies: bool = False) -> None:
        sent = [posts.follow_up(job) for job in jobs]
        letters = [posts.letter(post) for post in sent]
        await self._mail.deliver([copied(letter) for letter in letters] if copies else letters, sent)


def _emptied(home: str, pump: int = 0) -> _Round:
    """Send portion by portion, until nothing is left or somebody else sends."""
    sender = new_id()
    portion: Portion = yield Taking(home, sender, limit=MAX_SENT, pump=pump)
    while portion.jobs:
        yield portion.jobs
        sent = tuple(job.id for job in portion.jobs)
        portion = yield Taking(home, sender, sent, MAX_SENT, pump)
    return portion
