"""The broker on RabbitMQ whose claim store keeps flows and schedules, too; their jobs are sent on from its outbox."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from umbel.brokers.rabbitmq import posts
from umbel.brokers.rabbitmq.broker import RabbitMQBroker
from umbel.brokers.rabbitmq.courier import Courier
from umbel.contracts.broker import Ended, Reclaimed, Settlement
from umbel.contracts.capabilities import RABBITMQ_KEEPING, Power
from umbel.contracts.claims import ClaimStore
from umbel.contracts.flows import FlowStore
from umbel.contracts.outbox import FlowKeeper
from umbel.contracts.schedules import ScheduleStore
from umbel.exceptions import UmbelError
from umbel.model.flow import Flow, FlowView, Join, Page, Standing
from umbel.model.job import Delivery, Job
from umbel.model.schedule import Change, Table
from umbel.settings import Settings

SCHEDULES: Final = "~schedules"
"""The home of what schedules send."""

LAST_SECONDS: Final = 1.0
"""How long a receiver waits for what it has just sent on itself."""

_logger = logging.getLogger("umbel.broker")


class HoldingBroker(RabbitMQBroker):
    """`RabbitMQBroker`, and a `FlowHolder` and `ScheduleHolder`, its claims in *keeper*."""

    powers: frozenset[Power] = RABBITMQ_KEEPING

    def __init__(self, url: str, settings: Settings, claims: ClaimStore, keeper: FlowKeeper) -> None:
        super().__init__(url, settings, claims)
        self._keeper = keeper
        self._courier = Courier(self._engine, self._mail, keeper.outbox)
        self._sending: asyncio.Task[None] | None = None

    @property
    def flow_store(self) -> FlowStore:
        """The verbs of flows."""
        return SentFlows(self._keeper.flow_store, self._courier)

    @property
    def schedule_store(self) -> ScheduleStore:
        """The verbs of schedules."""
        return SentSchedules(self._keeper.schedule_store, self._courier)

    async def watched(self, job_id: str, queue: str) -> bool:
        """See `umbel.contracts.schedules.TickWatcher`."""
        return await self._keeper.watched(job_id, queue)

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """See `RabbitMQBroker.receive`. Sends on, beside it, what nodes that have opened have left."""
        sending = self._sending
        deliveries = await super().receive(session, queues, limit, wait=wait)
        self._go_on(self._keeper.outbox.waiting(queues))
        sending = self._sending or sending
        while sending is not None and not deliveries:
            last = sending.done()
            deliveries = await super().receive(session, queues, limit, wait=LAST_SECONDS if last else 0)
            if last:
                break
        return deliveries

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """See `RabbitMQBroker.settle`; what nodes have opened is sent on. If it cannot be now, a reclaim does."""
        answers = await super().settle(session, settlements)
        homes = {join.home for item in settlements for join in item.joins}
        await self._sent_on(self._keeper.outbox.waiting([*homes]))
        return answers

    async def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended] = ()) -> Reclaimed:
        """See `RabbitMQBroker.reclaim`. What dead processes have not sent on is sent, and counts as promoted."""
        answer = await super().reclaim(queues, lease, ended)
        if self._mail.blocked:
            return answer
        try:
            for home in (*queues, SCHEDULES):
                sent, seconds = await self._courier.relieve(home)
                next_due = min(seconds or math.inf, math.inf if answer.next_due is None else answer.next_due)
                answer = msgspec.structs.replace(
                    answer, promoted=answer.promoted + sent, next_due=None if next_due == math.inf else next_due
                )
        except UmbelError as error:  # what was freed is told all the same; the rest lies where it is
            _logger.debug("jobs of flows and schedules wait: %s", error)
        return answer

    async def aclose(self) -> None:
        """See `RabbitMQBroker.aclose`."""
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            await asyncio.wait([sending])
        await super().aclose()

    def _go_on(self, homes: Sequence[str]) -> None:
        if self._sending is not None and self._sending.done():
            self._sending = None
        if homes and self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._pumped(homes))

    async def _pumped(self, homes: Sequence[str]) -> None:
        try:
            for home in homes:
                await self._courier.pump(home)
        except UmbelError as error:
            _logger.debug("jobs of flows wait: %s", error)

    async def _sent_on(self, homes: Collection[str]) -> None:
        if self._mail.blocked:
            return
        try:
            for home in homes:
                await self._courier.asend_on(home)
        except UmbelError as error:
            _logger.debug("jobs of flows wait: %s", error)


class SentFlows:
    """`FlowStore` of a claim store, whose jobs are sent on; an error of that leaves a flow that is started."""

    def __init__(self, kept: FlowStore, courier: Courier) -> None:
        self._kept = kept
        self._courier = courier

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """See `FlowStore.start`. It is started once the store has it: workers send on what cannot be sent now."""
        self._kept.start(flow, ((node, posts.checked(job)) for node, job in jobs), inputs)
        self._courier.send_on(flow.home)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        await self._kept.astart(flow, ((node, posts.checked(job)) for node, job in jobs), inputs)
        await self._courier.asend_on(flow.home)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What the nodes of *pages* were brought."""
        return await self._kept.inputs(pages)

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        return self._kept.read_inputs(pages)

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes."""
        return self._kept.flow(flow, home)

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return await self._kept.aflow(flow, home)

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows of the queues *homes*."""
        return self._kept.flows(homes, limit)

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return await self._kept.aflows(homes, limit)

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; answers whether it was running."""
        return self._kept.revoke_flow(flow, home)

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return await self._kept.arevoke_flow(flow, home)


class SentSchedules:
    """`ScheduleStore` of a claim store, whose jobs are sent on."""

    def __init__(self, kept: ScheduleStore, courier: Courier) -> None:
        self._kept = kept
        self._courier = courier

    def read(self, since: int) -> Table:
        """See `ScheduleStore.read`."""
        return self._kept.read(since)

    async def aread(self, since: int) -> Table:
        """The async twin of `read`."""
        return await self._kept.aread(since)

    def write(self, changes: Sequence[Change]) -> list[bool]:
        """See `ScheduleStore.write`. An error leaves jobs that a reclaim sends, if the rows were written."""
        _check(changes)
        ours = self._kept.write(changes)
        if _sends(changes, ours):
            self._courier.send_on(SCHEDULES)
        return ours

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        """The async twin of `write`."""
        _check(changes)
        ours = await self._kept.awrite(changes)
        if _sends(changes, ours):
            await self._courier.asend_on(SCHEDULES)
        return ours


def _check(changes: Sequence[Change]) -> None:
    """Nothing may lie in an outbox that cannot be sent: all behind it would wait."""
    for change in changes:
        for job in change.jobs:
            posts.checked(job)


def _sends(changes: Sequence[Change], ours: Sequence[bool]) -> bool:
    return any(our and change.jobs for change, our in zip(changes, ours, strict=True))
