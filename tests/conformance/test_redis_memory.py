"""A Redis whose memory is full: it takes no job more, and whoever works empties the queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.patient import PATIENT
from tests.servers import Server
from tests.servers.redis import command
from umbel.brokers.redis import RedisBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.powers import Record
from umbel.exceptions import BrokerFull
from umbel.model.ids import new_session
from umbel.model.job import Counts, Job
from umbel.stores.redis import RedisResultStore

QUEUE = "q"
LEASE = 60.0
SECONDS = 60.0


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(redis_url, PATIENT)
    yield broker
    await broker.aclose()
    broker.close()


@pytest.fixture
def full(redis_server: Server) -> Iterator[None]:
    """Everything above one byte is too much."""
    assert command(redis_server.port, "CONFIG SET maxmemory 0") == "+OK"
    yield
    assert command(redis_server.port, "CONFIG SET maxmemory 0") == "+OK"


def fill(server: Server) -> None:
    """Let no memory be left."""
    assert command(server.port, "CONFIG SET maxmemory 1") == "+OK"


@pytest.mark.usefixtures("full")
async def test_a_full_memory_refuses_jobs_and_lets_workers_empty_the_queue(
    broker: RedisBroker, redis_server: Server
) -> None:
    await broker.asend([Job(each, QUEUE, b"1") for each in ("a", "b", "c", "d")])
    fill(redis_server)
    for _ in range(2):
        with pytest.raises(BrokerFull):
            await broker.asend([Job("refused", QUEUE, b"1")])
        with pytest.raises(BrokerFull):
            broker.send([Job("refused", QUEUE, b"1")])
    session = new_session()
    assert await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True) == [True]
    first, second, third, fourth = await broker.receive(session, [QUEUE], 10, wait=SECONDS)
    follow = Job("follow", QUEUE, b"1")
    assert await broker.settle(
        session,
        [
            Settlement(first, "end", record=b"record", ttl=LEASE),
            Settlement(second, "retry", counts=Counts(retries=1), envelope=b"again"),
            Settlement(third, "release"),
            Settlement(fourth, "end", follow_ups=(follow,)),
        ],
    ) == [True, True, True, True]
    assert await broker.heartbeat([Beat(session)], [QUEUE], LEASE) == [True]
    rest = await broker.receive(session, [QUEUE], 10, wait=SECONDS)
    assert sorted(each.id for each in rest) == ["b", "c", "follow"]
    assert await broker.settle(session, [Settlement(each, "end") for each in rest]) == [True] * 3
    await broker.reclaim([QUEUE], LEASE)
    command(redis_server.port, "CONFIG SET maxmemory 0")
    await broker.asend([Job("after", QUEUE, b"1")])
    (after,) = await broker.receive(session, [QUEUE], 10, wait=SECONDS)
    assert after.id == "after"


@pytest.mark.usefixtures("full")
async def test_a_full_memory_takes_results(redis_server: Server, redis_url: str) -> None:
    store = RedisResultStore(redis_url, PATIENT)
    fill(redis_server)
    assert await store.put([Record("id", QUEUE, b"record", LEASE)]) == [True]
    assert await store.afetch("id", QUEUE) == b"record"
    await store.aclose()
    store.close()
