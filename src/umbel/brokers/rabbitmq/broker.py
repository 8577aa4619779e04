"""The broker contract on RabbitMQ and a claim store.

The store decides who runs a job and what became of it; messages only point to jobs. So each verb asks the store first
and tells RabbitMQ afterwards: a message is acknowledged when nothing depends on it any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from typing import Final

import msgspec

from umbel.brokers.rabbitmq import inspector, posts
from umbel.brokers.rabbitmq.desk import Desk, Held
from umbel.brokers.rabbitmq.mail import Mail
from umbel.contracts.broker import Beat, Ended, Reclaimed, Settlement
from umbel.contracts.capabilities import RABBITMQ, Power
from umbel.contracts.claims import ClaimStore, EnvelopeKeeper, NoteKeeper, Verdict
from umbel.contracts.event_log import EventLog, EventLogHolder
from umbel.contracts.examiner import Examiner
from umbel.contracts.jobs import NoteStore, QueuePauser, Revoked
from umbel.contracts.mailbox import Mailbox, MailboxHolder
from umbel.contracts.powers import Location, QueueCounts, SessionInfo
from umbel.engines import amqp_health
from umbel.engines.amqp import Engine
from umbel.engines.amqp_address import parse
from umbel.exceptions import ImproperlyConfigured
from umbel.model.finding import Finding
from umbel.model.job import Delivery, Job
from umbel.settings import Settings

AT_ONCE_SECONDS: Final = 0.1
"""How long a receive that does not wait lets RabbitMQ push."""
PAUSED_SECONDS: Final = 1.0
"""How often a receiver looks whether a queue is paused yet."""


class RabbitMQBroker:
    """`Broker`, `Inspector` and `JobRevoker` on one virtual host of RabbitMQ (>= 3.10), its leases in *claims*.

    What the claim store keeps of notes, boxes, events and pauses it keeps for the broker, which is a `NoteHolder`,
    `MailboxHolder`, `EventLogHolder` and `PauserHolder` then.
    """

    powers: frozenset[Power] = RABBITMQ
    desk_type: type[Desk] = Desk
    heartbeat_seconds: float = 2.0
    """Of a connection. Short: a lost one is harmless, as the lease is in the store, and what a dead peer has waits."""

    def __init__(self, url: str, settings: Settings, claims: ClaimStore) -> None:
        address = parse(url, timeout=settings.broker_connection_timeout)
        heartbeat = min(self.heartbeat_seconds, settings.worker_lease)
        self._engine = Engine(address, settings.broker_send_deadline, heartbeat)
        self._claims = claims
        if isinstance(claims, NoteKeeper):
            self.note_store: NoteStore = claims
        if isinstance(claims, MailboxHolder):
            self.mailbox: Mailbox = claims.mailbox
            self.powers |= {Power.MAILBOX}
        if isinstance(claims, EventLogHolder):
            self.event_log: EventLog = claims.event_log
            self.powers |= {Power.EVENTS}
        if isinstance(claims, QueuePauser):
            self.queue_pauser: QueuePauser = claims
            self.powers |= {Power.PAUSES}
        if isinstance(claims, EnvelopeKeeper):
            self.powers |= {Power.STEPS}
        self._mail = Mail(self._engine)
        self._desk: Desk | None = None
        self._turn = count()

    def send(self, jobs: Sequence[Job]) -> None:
        """Accept *jobs*; raises as the contract says. An error leaves open which of them have arrived."""
        self._engine.call(self.asend(jobs))

    async def asend(self, jobs: Sequence[Job]) -> None:
        """The async twin of `send`."""
        sent = [posts.follow_up(job) for job in jobs]
        await self._mail.deliver([posts.letter(post) for post in sent], sent)

    def close(self) -> None:
        """Give back all connections of this process."""
        self._engine.close()
        self._claims.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        desk, self._desk = self._desk, None
        if desk is not None:
            await desk.aclose()
        await self._engine.aclose()
        await self._claims.aclose()

    async def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool = False
    ) -> list[bool]:
        """Renew or open the sessions of *beats* in the store; the queues are declared before a session is opened."""
        if opening:
            for queue in queues:
                await self._mail.topology.queue(queue)
        return await self._claims.heartbeat(beats, queues, lease, opening=opening)

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """Lease what RabbitMQ pushes. Without an answer of the store it raises `BrokerUnavailable`."""
        desk = self._ready()
        with desk.intake.asking(limit):
            deliveries = await self._received(desk, session, queues, limit, wait)
        if deliveries is None:
            await desk.intake.rest()
        return deliveries or []

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Carry out *settlements*: in the store, then at RabbitMQ. What an error leaves over, a repeat carries on."""
        desk = self._ready()
        found = desk.found(session, [item.delivery for item in settlements])
        fresh = [
            (held, item) for held, item in zip(found, settlements, strict=True) if held is not None and not held.settled
        ]
        answers = await self._claims.settle(session, [_verdict(held, item) for held, item in fresh])
        for (held, item), ours in zip(fresh, answers, strict=True):
            if ours:
                held.settled = item.kind
            else:
                desk.lost(held)
        done = [held for held in found if held is not None and held.settled]
        await desk.carry(done)
        gone = {id(held) for held in done}
        return [id(held) in gone for held in found]

    async def reconcile(self, session: str, queues: Sequence[str], held: Sequence[Delivery]) -> int:
        """Return to ready what *session* has beyond *held*."""
        desk = self._ready()
        number = desk.number(session)
        returned = await self._claims.reconcile(session, number, queues, held)
        # Of a reconcile that was repeated the last answer may not name all.
        desk.give_up([*returned, *desk.beyond(session, number, held)])
        return len(returned)

    async def mark(self, session: str, delivery: Delivery) -> bool:
        """Note durably that *delivery* is about to start alone."""
        return await self._claims.mark(session, delivery)

    async def amend(self, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> list[bool]:
        """Replace envelopes of jobs that *session* holds: in the store, and in what their verdicts publish.

        See `Amender`. Raises `ImproperlyConfigured` without a store that can.
        """
        if not isinstance(self._claims, EnvelopeKeeper):
            raise ImproperlyConfigured(f"what holds the claims of {self._engine.address} keeps no envelopes")
        answers = await self._claims.amend(session, amended)
        found = [None] * len(amended) if self._desk is None else self._desk.found(session, [one for one, _ in amended])
        for held, (_, envelope), ours in zip(found, amended, answers, strict=True):
            if held is not None and ours:
                held.amended = envelope
        return answers

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """Free the claims of ended and lapsed sessions: their messages come back with their connections.

        Delayed jobs become ready by themselves.
        """
        answer = await self._claims.reclaim(queues, lease, ended)
        if answer.returned and self._desk is not None:
            await self._ready().leave_the_dead()
        return answer

    async def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> int:
        """Make ready what is parked under the names *tasks*."""
        moved = 0
        known = {posts.short(task) for task in tasks}
        for queue, wanted in zip(queues, await self._claims.parked(queues, known), strict=True):
            if wanted:
                moved += await self._mail.unpark(queue, wanted)
                await self._claims.unparked(queue, wanted)
        return moved

    def doom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """Doom jobs in the store; see `JobRevoker`. Their messages stay where they are."""
        return self._claims.doom(keys)

    async def adoom(self, keys: Sequence[tuple[str, str | None]]) -> list[Revoked]:
        """The async twin of `doom`."""
        return await self._claims.adoom(keys)

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with RabbitMQ and with the claim store; see `Examiner`."""
        found = await amqp_health.examine(self._engine)
        if not isinstance(self._claims, Examiner):
            return found
        behind = await self._claims.examine(thorough=thorough)
        return [*found, *(msgspec.structs.replace(each, name=f"claims: {each.name}") for each in behind)]

    async def queues(self) -> list[str]:
        """The names of all queues that a worker has served, sorted."""
        return await self._claims.queues()

    async def counts(self, queues: Sequence[str]) -> list[QueueCounts]:
        """Estimates: RabbitMQ counts what no consumer has. *delayed* are those of all queues together."""
        return await inspector.counts(self._engine, queues, await self._claims.running(queues))

    async def sessions(self, queues: Sequence[str]) -> list[SessionInfo]:
        """The open sessions of *queues*."""
        return await self._claims.sessions(queues)

    def locate(self, job_id: str, queue: str | None) -> Location:
        """Where a job is; one that was not received yet is taken to be ready, RabbitMQ cannot be asked for it."""
        return self._claims.locate(job_id, queue)

    async def alocate(self, job_id: str, queue: str | None) -> Location:
        """The async twin of `locate`."""
        return await self._claims.alocate(job_id, queue)

    async def _received(
        self, desk: Desk, session: str, queues: Sequence[str], limit: int, wait: float
    ) -> list[Delivery] | None:
        """What is received; None if another process receives for *session*, so that this one must not."""
        end = time.monotonic() + max(wait, AT_ONCE_SECONDS)
        order = self._rotated(queues)
        while True:
            some = await desk.open_ones(queues)
            await desk.intake.consume(some, desk.busy)
            arrivals = desk.intake.take(order, limit)
            if arrivals:
                deliveries = await desk.claim(session, arrivals)
                if deliveries is None or deliveries:
                    return deliveries
            left = end - time.monotonic()
            if left <= 0:
                await desk.assure(session, queues)
                return []
            if not arrivals:
                await desk.intake.wait(left if len(some) == len(queues) else min(left, PAUSED_SECONDS))

    def _ready(self) -> Desk:
        desk = self._desk
        if desk is None or desk.loop is not asyncio.get_running_loop():
            desk = self._desk = self.desk_type(self._engine, self._claims, self._mail)
        return desk

    def _rotated(self, queues: Sequence[str]) -> Sequence[str]:
        """*queues*, each first in its turn, so that a full one starves none."""
        first = next(self._turn) % max(1, len(queues))
        return [*queues[first:], *queues[:first]]


def _verdict(held: Held, item: Settlement) -> Verdict:
    delivery = held.delivery
    held.posts = posts.posts_of(item, held.generation, held.amended)
    held.task = item.task
    counts = item.counts if item.counts is not None else delivery.counts
    return Verdict(
        delivery=delivery,
        kind=item.kind,
        record=item.record,
        ttl=item.ttl,
        generation=held.generation + 1,
        counts=msgspec.structs.replace(counts, marked=False),
        delay=item.delay,
        task=posts.short(item.task),
        parcel=held.parcel,
        joins=item.joins,
        added=item.added,
    )
