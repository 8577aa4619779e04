"""RabbitMQ short of memory or disk, in a hurry for acknowledgements, with a node that is gone, with lost answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count

import pytest

from tests.conformance.test_rabbitmq_engine import QUEUE, Rig, ids
from tests.servers import Server
from tests.servers.rabbitmq import evaluate
from umbel.brokers.rabbitmq import RabbitMQBroker, desk, intake
from umbel.claims.redis import RedisClaims
from umbel.contracts.broker import Ended, Settlement
from umbel.engines.amqp_channel import Channel
from umbel.engines.amqp_connection import Connection
from umbel.engines.redis import Engine as RedisEngine
from umbel.exceptions import BrokerFull, BrokerUnavailable
from umbel.model.ids import new_id
from umbel.model.job import Counts, Delivery, Job
from umbel.testing import LoseReplies
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.faults import one_in
from umbel.testing.patience import Patient
from umbel.testing.proxy import Proxy

DEADLINE_SECONDS = 1.0
SECONDS = 60.0
JOBS = 40

SETTING = "application:set_env(rabbit, {}, {})"
ALARMS = {
    "memory": "vm_memory_monitor:set_vm_memory_high_watermark({})",
    "disk": "rabbit_disk_monitor:set_disk_free_limit({})",
}
TOO_LITTLE = {"memory": "1.0e-6", "disk": "900000000000000"}
ENOUGH = {"memory": "0.4", "disk": "50000000"}


@pytest.fixture
async def rig(rabbitmq_url: str, redis_url: str) -> AsyncIterator[Rig]:
    made = Rig(rabbitmq_url, redis_url)
    made.settings.update(broker_send_deadline=SECONDS)
    made.broker = made.client()
    yield made
    for broker in made.made:
        await broker.aclose()
        broker.close()


@contextmanager
def alarm(server: Server, kind: str) -> Generator[None]:
    """RabbitMQ takes itself to be short of *kind* within it."""
    evaluate(server.folder, ALARMS[kind].format(TOO_LITTLE[kind]))
    try:
        yield
    finally:
        evaluate(server.folder, ALARMS[kind].format(ENOUGH[kind]))


@pytest.mark.parametrize("kind", ALARMS)
async def test_an_alarm_refuses_sends_after_their_deadline_and_all_goes_on_when_it_is_over(
    rig: Rig, rabbitmq_server: Server, kind: str
) -> None:
    rig.settings.update(broker_send_deadline=DEADLINE_SECONDS)
    hasty = rig.client()
    rig.settings.update(broker_send_deadline=SECONDS)
    await rig.broker.asend([Job(str(each), QUEUE, b"1") for each in range(4)])
    session = await rig.open()
    first, second, third = await rig.take(session, 3, seconds=SECONDS)
    with alarm(rabbitmq_server, kind):
        # A connection is blocked by the first message that it publishes under the alarm; that one passes.
        for broker in (hasty, rig.broker):
            await eventually(lambda: publishes_until_blocked(broker), SECONDS)  # noqa: B023
        begun = time.monotonic()
        with pytest.raises(BrokerFull, match="out of memory or disk"):
            await hasty.asend([Job("refused", QUEUE, b"1")])
        assert time.monotonic() - begun > DEADLINE_SECONDS / 2
        retry = Settlement(first, "retry", counts=Counts(retries=1), envelope=b"again")
        assert await rig.broker.settle(session, [retry, Settlement(second, "end")]) == [True, True]
        assert await rig.broker.settle(session, [Settlement(third, "end")]) == [True]
        assert (await rig.broker.alocate(third.id, QUEUE)).place == "ended"
        newcomer = rig.client()
        assert await rig.take(await rig.open(newcomer), 1, newcomer, SECONDS) != []
    taken: list[Delivery] = []
    async with asyncio.timeout(SECONDS):
        while b"again" not in [each.envelope for each in taken]:
            taken += await rig.take(session)
    await rig.broker.asend([Job("after", QUEUE, b"1")])
    assert "refused" not in ids(taken)


@pytest.fixture
def hurried(rabbitmq_server: Server, rabbitmq_url: str) -> Iterator[None]:
    """RabbitMQ wants acknowledgements within a second, for channels opened from now on, and looks often."""
    before = evaluate(rabbitmq_server.folder, "application:get_env(rabbit, consumer_timeout)")
    evaluate(rabbitmq_server.folder, SETTING.format("consumer_timeout", 1000))
    evaluate(rabbitmq_server.folder, SETTING.format("channel_tick_interval", 200))
    yield
    evaluate(rabbitmq_server.folder, SETTING.format("consumer_timeout", 1_800_000))
    evaluate(rabbitmq_server.folder, SETTING.format("channel_tick_interval", 60_000))
    assert evaluate(rabbitmq_server.folder, "application:get_env(rabbit, consumer_timeout)") == before


@pytest.mark.usefixtures("hurried")
async def test_a_job_that_outlasts_the_time_for_an_acknowledgement_runs_once_and_ends_once(rig: Rig) -> None:
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    holder, other = rig.client(), rig.client()
    session, elsewhere = await rig.open(holder), await rig.open(other)
    (delivery,) = await rig.take(session, broker=holder)
    channel = channel_of(holder)
    await eventually(lambda: channel.lost, SECONDS)
    assert "PRECONDITION_FAILED" in str(channel.lost)
    # The message comes back, finds the claim alive, and looks again later.
    received = asyncio.create_task(rig.take(elsewhere, broker=other, seconds=SECONDS))
    await eventually(lambda: is_put_off(rig), SECONDS)
    assert await holder.settle(session, [Settlement(delivery, "end", record=b"record", ttl=60.0)]) == [True]
    await rig.broker.asend([Job("last", QUEUE, b"1")])
    assert ids(await received) == ["last"]


async def test_a_message_that_comes_before_its_claim_is_freed_is_not_put_off(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "SOON_SECONDS", (0.05,) * 10_000)
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    holder, other = rig.client(), rig.client()
    session, elsewhere = await rig.open(holder), await rig.open(other)
    assert ids(await rig.take(session, broker=holder)) == ["job"]
    received = asyncio.create_task(rig.take(elsewhere, broker=other, seconds=SECONDS))
    await holder.aclose()  # as a child that was killed
    await eventually(lambda: other._desk is not None and other._desk.busy == 1, SECONDS)
    assert not received.done()
    await rig.broker.reclaim([QUEUE], 10.0, [Ended(session)])
    assert ids(await received) == ["job"]


async def test_when_a_node_is_gone_the_next_one_is_asked(rig: Rig, rabbitmq_server: Server) -> None:
    with Proxy(rabbitmq_server.port) as one, Proxy(rabbitmq_server.port) as two:
        rig.settings.update(broker_url=f"amqp://guest:guest@127.0.0.1:{one.port},127.0.0.1:{two.port}/")
        broker = rig.client()
        session = await rig.open(broker)
        for gone, there in ((one, two), (two, one), (one, two)):
            there.mend()
            gone.cut()
            job_id = new_id()
            await asyncio.to_thread(broker.send, [Job(job_id, QUEUE, b"1")])
            (delivery,) = await rig.take(session, broker=broker, seconds=SECONDS)
            assert await broker.settle(session, [Settlement(delivery, "end")]) == [True]


async def test_a_line_that_is_lost_when_consuming_has_just_begun_leaves_no_receiver_asleep(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "FIRST_SECONDS", 0.5)
    session = await rig.open()
    receiving = asyncio.create_task(rig.broker.receive(session, [QUEUE], 1, wait=300.0))
    await eventually(lambda: consumes(rig.broker), SECONDS)
    line = channel_of(rig.broker)._wire
    assert isinstance(line, Connection)
    line.abort(ConnectionResetError("cut"))
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    assert ids(await soon(receiving, SECONDS)) == ["job"]


async def test_jobs_whose_sends_receives_and_settles_lose_their_answers_end_once(rig: Rig) -> None:
    broker = Patient(LoseReplies(rig.broker, one_in(3)))  # the first of every three calls of each verb
    session = await rig.open()
    for each in range(JOBS):
        await broker.asend([Job(str(each), QUEUE, b"1")])
    ended = Counter[str]()
    async with asyncio.timeout(SECONDS):
        while len(ended) < JOBS:
            taken = await broker.receive(session, [QUEUE], 4, wait=SECONDS)
            answers = await broker.settle(session, [Settlement(each, "end", record=b"1", ttl=60.0) for each in taken])
            ended.update(each.id for each, answer in zip(taken, answers, strict=True) if answer)
    assert ended == Counter(str(each) for each in range(JOBS))
    assert await broker.receive(session, [QUEUE], 5, wait=0.5) == [], "what was sent again is dropped"


async def test_a_claim_whose_answer_is_lost_is_said_and_what_it_leased_comes_back_with_the_reconcile(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await rig.open()
    await rig.broker.asend([Job("first", QUEUE, b"1")])
    (first,) = await rig.take(session)  # the server knows the script now
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    claims = rig.broker._claims
    assert isinstance(claims, RedisClaims)
    assert isinstance(claims._engine, RedisEngine)
    line = claims._engine._lanes.here().stream
    assert line is not None
    monkeypatch.setattr(line, "data_received", lambda data: None)  # no answer comes any more
    receiving = asyncio.create_task(rig.take(session))
    other = rig.claims()
    await eventually(lambda: holds_both(other), SECONDS)
    line.close()
    with pytest.raises(BrokerUnavailable):
        await receiving
    assert await rig.broker.reconcile(session, [QUEUE], [first]) == 1
    assert ids(await rig.take(session)) == ["job"]
    await other.aclose()


async def test_a_reconcile_whose_answer_was_lost_gives_up_the_messages_when_it_is_repeated(rig: Rig) -> None:
    session = await rig.open()
    await rig.broker.asend([Job("job", QUEUE, b"1")])
    assert ids(await rig.take(session)) == ["job"]
    assert await rig.broker._claims.reconcile(session, 1_000_000, [QUEUE], []) == ["job"]
    rig.broker._desk._numbers[session] = count(1_000_001)  # type: ignore[union-attr]
    assert await rig.broker.reconcile(session, [QUEUE], []) == 0
    assert ids(await rig.take(session)) == ["job"]


async def holds_both(claims: RedisClaims) -> bool:
    return await claims.running([QUEUE]) == [2]


def consumes(broker: RabbitMQBroker) -> bool:
    """Whether RabbitMQ pushes jobs to *broker*."""
    return broker._desk is not None and broker._desk.intake._prefetch > 0


def channel_of(broker: RabbitMQBroker) -> Channel:
    """The channel over which *broker* consumes."""
    assert broker._desk is not None
    channel = broker._desk.intake._channel
    assert channel is not None
    return channel


async def is_put_off(rig: Rig) -> bool:
    return (await rig.broker.counts([QUEUE]))[0].delayed == 1


async def publishes_until_blocked(broker: RabbitMQBroker) -> bool:
    if not broker._engine.blocked:
        with suppress(BrokerFull, BrokerUnavailable, TimeoutError):
            async with asyncio.timeout(DEADLINE_SECONDS):
                await broker.asend([Job(new_id(), QUEUE, b"1")])
    return broker._engine.blocked
