"""Flows and schedules on RabbitMQ: a process that dies between the claims and the publish loses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from tests.conformance.test_rabbitmq import OnOneServer
from tests.conformance.test_rabbitmq_sql import InPostgres
from tests.patient import PATIENT
from umbel.brokers.rabbitmq import HoldingBroker, connect
from umbel.brokers.rabbitmq.courier import Courier
from umbel.claims.redis import RedisClaims
from umbel.claims.redis.keeping import RedisOutbox
from umbel.claims.sql import SqlClaims
from umbel.claims.sql import connect as claims_at
from umbel.claims.sql.outbox import SqlOutbox
from umbel.contracts.broker import Beat
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.flows import FlowHolder
from umbel.contracts.outbox import Taking
from umbel.contracts.schedules import ScheduleHolder
from umbel.exceptions import BrokerError, ImproperlyConfigured
from umbel.model.flow import Flow, Node
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.model.schedule import Change
from umbel.settings import Settings
from umbel.testing.conformance.flow_stage import FLOW, FlowStage, a_job, at
from umbel.testing.conformance.stage import OTHER, QUEUE, ids

FLOW_OF_TWO = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 1), Node(2, 1)))
JOBS = [(0, a_job("a")), (1, a_job("b", OTHER))]


class Outboxes(FlowStage):
    """What is asked of each store that keeps flows."""

    def make_claims(self) -> RedisClaims | SqlClaims:
        """One more client of the store under test."""
        raise NotImplementedError

    @property
    def claims(self) -> RedisClaims | SqlClaims:
        """What a process that dies has told, before it could publish."""
        made = self.make_claims()
        self._claims.append(made)
        return made

    @pytest.fixture(autouse=True)
    async def _open_claims(self) -> AsyncIterator[None]:
        self._claims: list[RedisClaims | SqlClaims] = []
        yield
        for each in self._claims:
            await each.aclose()
            each.close()

    @pytest.fixture
    def only_reclaim(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody else finds what lies in an outbox."""
        for each in (RedisOutbox, SqlOutbox):
            monkeypatch.setattr(each, "waiting", nobody_waits)

    async def test_a_flow_whose_starter_died_before_it_published_is_sent_by_a_reclaim(self, only_reclaim: None) -> None:
        await self.claims.flow_store.astart(FLOW_OF_TWO, JOBS)
        session = await self.open()
        assert await self.take(session) == []
        assert (await self.reclaim()).promoted == 1
        assert ids(await self.take(session)) == ["a"]
        assert (await self.reclaim()).promoted == 0

    async def test_without_that_reclaim_the_flow_stands_still(
        self, only_reclaim: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Courier, "relieve", nothing_is_sent)
        await self.claims.flow_store.astart(FLOW_OF_TWO, JOBS)
        session = await self.open()
        await self.reclaim()
        assert await self.take(session) == []

    async def test_a_receiver_of_its_home_sends_it_too(self) -> None:
        await self.claims.flow_store.astart(FLOW_OF_TWO, JOBS)
        assert ids(await self.take(await self.open())) == ["a"]

    async def test_a_node_whose_last_member_died_before_it_published_is_sent_by_a_reclaim(
        self, only_reclaim: None
    ) -> None:
        await self.start({0: ["a"], 1: ["body"]}, {1: 1, 2: 1})
        session = await self.open()
        assert await self.join(session, await self.take_one(session, "a"), at(1))
        assert await self.take(session) == []
        assert (await self.reclaim()).promoted == 1
        await self.join(session, await self.take_one(session, "body"), at(2))
        assert await self.state() == "succeeded"

    async def test_what_was_published_and_not_taken_out_runs_once(self) -> None:
        await self.claims.flow_store.astart(FLOW_OF_TWO, JOBS)
        taken = await self.claims.outbox.atake(Taking(QUEUE, "a process that dies", limit=10))
        await self.broker.asend(taken.jobs)
        session = await self.open()
        first = await self.take_one(session, "a")
        assert (await self.reclaim()).promoted == 0
        await self.advance(6.0)
        assert (await self.reclaim()).promoted == 1
        await self.join(session, first, at(1))
        assert await self.take(session) == []
        assert ids(await self.take(await self.open(OTHER), queues=[OTHER])) == ["b"]

    async def test_one_sends_at_a_time_and_another_goes_on_after_him(self) -> None:
        outbox = self.claims.outbox
        await self.claims.flow_store.astart(FLOW_OF_TWO, JOBS)
        first = await outbox.atake(Taking(QUEUE, "first", limit=10))
        assert [job.id for job in first.jobs] == ["a"]
        second = await outbox.atake(Taking(QUEUE, "second", limit=10))
        assert (second.jobs, second.seconds) == ((), 5.0)
        assert (await outbox.atake(Taking(QUEUE, "first", ("a",), limit=10))).jobs == ()
        assert (await outbox.atake(Taking(QUEUE, "second", limit=10))).seconds == 0.0

    async def test_a_refused_settle_joins_nothing(self) -> None:
        await self.start({0: ["a"], 1: ["body"]}, {1: 1, 2: 1})
        session = await self.open()
        delivery = await self.take_one(session, "a")
        await self.lapse()
        assert not await self.join(session, delivery, at(1))
        assert (await self.standing(1)).inputs == []

    async def test_a_tick_whose_scheduler_died_before_it_published_is_sent_by_a_reclaim_once(self) -> None:
        tick = Job("tick", QUEUE, b"envelope")
        assert await self.claims.schedule_store.awrite([Change("row", 0, b"value", (tick,))]) == [True]
        assert isinstance(self.broker, HoldingBroker)
        assert await self.broker.schedule_store.awrite([Change("row", 0, b"value", (tick,))]) == [False]
        assert (await self.reclaim()).promoted == 1
        session = await self.open()
        await self.end(session, await self.take_one(session, "tick"))
        assert (await self.reclaim()).promoted == 0
        assert await self.take(session) == []

    async def test_without_that_reclaim_the_tick_is_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Courier, "relieve", nothing_is_sent)
        await self.claims.schedule_store.awrite([Change("row", 0, b"value", (Job("tick", QUEUE, b""),))])
        await self.reclaim()
        assert await self.take(await self.open()) == []

    async def test_the_job_of_a_schedule_is_watched_until_its_end(self) -> None:
        assert isinstance(self.broker, HoldingBroker)
        await self.broker.schedule_store.awrite([Change("row", 0, b"value", (Job("tick", QUEUE, b""),))])
        assert await self.broker.watched("tick", QUEUE)
        session = await self.open()
        delivery = await self.take_one(session, "tick")
        assert not delivery.returned
        assert await self.broker.watched("tick", QUEUE)
        await self.end(session, delivery)
        assert not await self.broker.watched("tick", QUEUE)


class TestRedis(OnOneServer, Outboxes):
    def make_claims(self) -> RedisClaims:
        return RedisClaims(self.claims_url, PATIENT, self.clock)


class TestSql(InPostgres, Outboxes):
    def make_claims(self) -> SqlClaims:
        return claims_at(self.claims_url, PATIENT, self.clock)


def nobody_waits(outbox: RedisOutbox | SqlOutbox, homes: Sequence[str]) -> list[str]:
    del outbox, homes
    return []


async def nothing_is_sent(courier: Courier, home: str) -> tuple[int, float]:
    del courier, home
    return 0, 0.0


async def test_the_delay_of_a_job_in_a_flow_really_passes(rabbitmq_url: str, redis_url: str) -> None:
    broker = connect(rabbitmq_url, Settings(result_backend=redis_url))
    assert isinstance(broker, HoldingBroker)
    session = new_session()
    await broker.heartbeat([Beat(session)], [QUEUE], 120.0, opening=True)
    start = time.time()
    await broker.flow_store.astart(Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 1))), [(0, a_job("later", delay=1.0))])
    async with asyncio.timeout(60):
        while not (found := await broker.receive(session, [QUEUE], 1, wait=5)):
            pass
    assert ids(found) == ["later"]
    assert time.time() - start >= 0.9
    await broker.aclose()
    broker.close()


@pytest.mark.parametrize("job", [a_job("x" * 256), a_job("late", delay=10.0**10)], ids=["a long id", "a long delay"])
async def test_a_job_that_no_message_can_carry_is_refused_before_anything_is_stored(
    job: Job, rabbitmq_url: str, redis_url: str
) -> None:
    broker = connect(rabbitmq_url, Settings(result_backend=redis_url))
    assert isinstance(broker, HoldingBroker)
    with pytest.raises(BrokerError, match="RabbitMQ"):
        await broker.flow_store.astart(Flow(FLOW, QUEUE, (Node(0, 0),)), [(0, job)])
    with pytest.raises(BrokerError, match="RabbitMQ"):
        await broker.schedule_store.awrite([Change("row", 0, b"value", (job,))])
    assert await broker.flow_store.aflow(FLOW, QUEUE) is None
    assert (await broker.schedule_store.aread(0)).rows == ()
    await broker.aclose()
    broker.close()


@pytest.mark.parametrize(
    "backend", ["redis+sentinel://localhost:26379/primary", "redis+cluster://localhost:7000", "file:///results"]
)
def test_where_claims_keep_no_flows_they_are_refused_and_what_keeps_them_is_named(backend: str) -> None:
    broker = connect("amqp://localhost/", Settings(result_backend=backend))
    assert not isinstance(broker, FlowHolder)
    assert not isinstance(broker, ScheduleHolder)
    for power in (Power.FLOWS, Power.SCHEDULES):
        with pytest.raises(ImproperlyConfigured, match="RabbitMQ with Redis or SQL do"):
            demand(broker, power, "a chord", "amqp://localhost/")
    broker.close()
