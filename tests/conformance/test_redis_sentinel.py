"""The specification behind Sentinel, and what a failover does to those who are at work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_claims import OnRedis
from tests.patient import PATIENT
from tests.servers.redis import command, flush, replicated
from tests.servers.sentinel import SERVICE, STEADY_MILLISECONDS, Watched, bulk
from umbel.brokers import connect
from umbel.brokers.redis import RedisBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.mailbox import Letter
from umbel.contracts.powers import Record
from umbel.exceptions import BrokerError, BrokerUnavailable
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.settings import Settings
from umbel.stores import connect as connect_store
from umbel.stores.redis import RedisResultStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.schedules import ScheduleConformance

QUEUE = "q"
SECONDS = 90.0
FAILOVER = Settings(broker_send_deadline=SECONDS)
"""Sentinels that stood still for two seconds let thirty pass before they choose a new primary."""


@pytest.fixture(scope="module")
def watched_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Watched(tmp_path_factory.mktemp("watched"), patience=STEADY_MILLISECONDS) as watched:
        yield watched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Servers for a test that kills some."""
    with Watched(tmp_path) as watched:
        yield watched


class BehindSentinel:
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, watched_for_all: Watched) -> None:
        flush(watched_for_all.primary.port)
        self.url = watched_for_all.url

    def make(self, clock: Callable[[], float]) -> RedisBroker:
        return RedisBroker(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


class TestBroker(BehindSentinel, BrokerConformance):
    pass


class TestRecords(BehindSentinel, RecordConformance):
    pass


class TestInspector(BehindSentinel, InspectorConformance):
    pass


class TestFlows(BehindSentinel, FlowConformance):
    pass


class TestSchedules(BehindSentinel, ScheduleConformance):
    pass


class TestJobs(BehindSentinel, JobConformance):
    pass


class TestAgeing(BehindSentinel, AgeingConformance):
    pass


class TestLimits(BehindSentinel, LimitingConformance):
    pass


class TestEventLog(BehindSentinel, EventLogConformance):
    pass


class TestMailbox(BehindSentinel, MailboxConformance):
    pass


class TestClaims(OnRedis):
    @pytest.fixture(autouse=True)
    def _server(self, watched_for_all: Watched) -> None:
        flush(watched_for_all.primary.port)
        self.url = watched_for_all.url


class TestStore(ResultStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, watched_for_all: Watched) -> None:
        flush(watched_for_all.primary.port)
        self.url = watched_for_all.url

    def make(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


def job(job_id: str = "") -> Job:
    return Job(job_id or new_id(), QUEUE, b"envelope")


async def close(*each: Any) -> None:
    for one in each:
        await one.aclose()
        one.close()


async def drained(broker: RedisBroker, count: int) -> list[str]:
    """The ids of jobs taken and ended by a new session, until *count* different ones were."""
    await broker.heartbeat([Beat("drain")], [QUEUE], 60.0, opening=True)
    found: list[str] = []
    while len(set(found)) < count:
        deliveries = await broker.receive("drain", [QUEUE], 100, wait=1.0)
        answers = await broker.settle("drain", [Settlement(each, "end") for each in deliveries])
        found += [each.id for each, answer in zip(deliveries, answers, strict=True) if answer]
    return found


async def heard(broker: RedisBroker, after: int) -> list[Letter]:
    """The first messages that are heard."""
    while not (found := await broker.mailbox.ahear("box", after, 10.0)):
        pass
    return found


def is_ordered(watched: Watched) -> bool:
    """Order a failover; answers whether it is under way. Sentinels refuse it as long as they trust no replica."""
    answer = command(watched.sentinels[0].port, f"SENTINEL FAILOVER {SERVICE}")
    assert answer.startswith(("+OK", "-INPROG", "-NOGOODSLAVE")), answer
    return not answer.startswith("-NOGOODSLAVE")


# --- a failover


async def test_when_the_primary_dies_everybody_goes_on_with_the_next_one(watched: Watched) -> None:
    broker, store = RedisBroker(watched.url, FAILOVER), RedisResultStore(watched.url, FAILOVER)
    broker.send([job("before")])
    await broker.asend([job("before too")])
    watching = [
        asyncio.create_task(store.awatch("id", QUEUE, SECONDS)),
        asyncio.create_task(asyncio.to_thread(store.watch, "id", QUEUE, SECONDS)),
    ]
    hearing = asyncio.create_task(heard(broker, 0))
    replicated(watched.primary.port, 2)
    watched.primary.kill()
    sending = (broker.asend([job("after")]), asyncio.to_thread(broker.send, [job("after too")]))
    await soon(asyncio.gather(*sending), SECONDS)
    assert sorted(await soon(drained(broker, 4), SECONDS)) == ["after", "after too", "before", "before too"]
    await store.put([Record("id", QUEUE, b"record", 60.0)])
    assert await soon(asyncio.gather(*watching), SECONDS) == [b"record"] * 2
    await broker.mailbox.atell("box", [b"one"], 60.0)
    (first,) = await soon(hearing, SECONDS)
    await asyncio.to_thread(broker.mailbox.tell, "box", [b"two"], 60.0)
    (second,) = await soon(heard(broker, first.number), SECONDS)
    assert [first.message, second.message] == [b"one", b"two"]
    await close(broker, store)


async def test_a_wait_for_jobs_is_told_that_the_primary_is_gone_and_finds_the_next_one(watched: Watched) -> None:
    broker = RedisBroker(watched.url, FAILOVER)
    await broker.heartbeat([Beat("s")], [QUEUE], 600.0, opening=True)
    replicated(watched.primary.port, 2)
    waiting = asyncio.create_task(broker.receive("s", [QUEUE], 1, wait=SECONDS))
    await eventually(lambda: "blocked_clients:1" in bulk(watched.primary.port, "INFO clients"), SECONDS)
    watched.primary.kill()
    with pytest.raises(BrokerUnavailable):
        await soon(waiting)
    await soon(broker.reconcile("s", [QUEUE], []), SECONDS)
    waiting = asyncio.create_task(broker.receive("s", [QUEUE], 1, wait=SECONDS))
    await broker.asend([job()])
    assert len(await soon(waiting, SECONDS)) == 1
    await close(broker)


async def test_an_ordered_failover_under_load_loses_no_job_and_ends_none_twice(watched: Watched) -> None:
    producer, worker = RedisBroker(watched.url, FAILOVER), RedisBroker(watched.url, FAILOVER)
    ids = [f"job-{number:04}" for number in range(1000)]

    old = watched.primary

    async def produce() -> None:
        for number, job_id in enumerate(ids):
            if number == len(ids) // 3:
                await eventually(lambda: is_ordered(watched), SECONDS)
            if number == 2 * len(ids) // 3:  # the last of them go to the next primary
                await eventually(lambda: watched.primary is not old, SECONDS)
            await producer.asend([job(job_id)])
            await asyncio.sleep(0.002)

    ended: list[str] = []

    async def consume() -> None:
        await worker.heartbeat([Beat("s")], [QUEUE], 600.0, opening=True)
        while len(set(ended)) < len(ids):
            try:
                deliveries = await worker.receive("s", [QUEUE], 10, wait=0.5)
            except BrokerUnavailable:
                await worker.reconcile("s", [QUEUE], [])
                continue
            answers = await worker.settle("s", [Settlement(each, "end") for each in deliveries])
            ended.extend(each.id for each, answer in zip(deliveries, answers, strict=True) if answer)

    await soon(asyncio.gather(produce(), consume()), 2 * SECONDS)
    assert watched.primary is not old
    assert sorted(set(ended)) == ids
    assert (await worker.counts([QUEUE]))[0].running == 0
    await close(producer, worker)


async def test_what_was_acknowledged_and_did_not_reach_the_next_primary_is_said_again(watched: Watched) -> None:
    broker, store = RedisBroker(watched.url, FAILOVER), RedisResultStore(watched.url, FAILOVER)
    await broker.heartbeat([Beat("s")], [QUEUE], 600.0, opening=True)
    await broker.asend([job("ended")])
    (delivery,) = await broker.receive("s", [QUEUE], 1, wait=0)
    old = watched.primary
    replicated(old.port, 2)
    replicas = watched.replicas
    for replica in replicas:
        replica.pause()
    assert command(old.port, "CLIENT KILL TYPE replica") == ":2"  # else the kernel keeps for them what is sent now
    broker.send([job("sent")])
    await broker.asend([job("sent too")])
    assert await broker.settle("s", [Settlement(delivery, "end", record=b"record")]) == [True]
    old.kill()
    for replica in replicas:
        replica.resume()
    watched.failed_over(old)
    assert command(watched.primary.port, "HLEN umbel:{q}:jobs") == ":1"  # the failover has lost all three
    assert await soon(broker.reconcile("s", [QUEUE], []), SECONDS) == 0
    assert await store.afetch("ended", QUEUE) == b"record"
    deliveries = await broker.receive("s", [QUEUE], 10, wait=0)
    assert sorted(each.id for each in deliveries) == ["sent", "sent too"]
    await close(broker, store)


# --- Sentinels


async def test_one_sentinel_that_answers_is_enough(watched: Watched) -> None:
    for sentinel in watched.sentinels[:2]:
        sentinel.kill()
    broker = RedisBroker(watched.url, PATIENT)
    broker.send([job()])
    await broker.asend([job()])
    await close(broker)


async def test_without_a_sentinel_that_is_what_is_said() -> None:
    url = "redis+sentinel://user:secret@127.0.0.1:1,127.0.0.1:2/jobs/0"
    broker = RedisBroker(url, Settings(broker_send_deadline=0.5))
    for sending in (asyncio.to_thread(broker.send, [job()]), broker.asend([job()])):
        with pytest.raises(BrokerUnavailable, match="no Sentinel tells where the primary is") as failed:
            await sending
        assert "user:***@127.0.0.1:1,127.0.0.1:2/jobs/0" in str(failed.value)


async def test_a_service_that_no_sentinel_knows_is_said_at_once(watched_for_all: Watched) -> None:
    broker = RedisBroker(watched_for_all.url.replace(SERVICE, "joobs"), Settings(broker_send_deadline=30.0))
    begun = time.monotonic()
    for sending in (asyncio.to_thread(broker.send, [job()]), broker.asend([job()])):
        with pytest.raises(BrokerError, match="no Sentinel knows a service 'joobs'") as failed:
            await sending
        assert not isinstance(failed.value, BrokerUnavailable)
    assert time.monotonic() - begun < 15.0


async def test_celerys_form_of_the_url_will_do(watched_for_all: Watched) -> None:
    hosts = ";".join(f"sentinel://127.0.0.1:{each.port}" for each in watched_for_all.sentinels)
    url = f"{hosts}/0?master_name={SERVICE}"
    broker, store = connect(url, PATIENT), connect_store(url, PATIENT)
    broker.send([job()])
    await store.put([Record("celery", QUEUE, b"record", 60.0)])
    assert store.fetch("celery", None) == b"record"
    await close(broker, store)


async def test_sentinels_and_servers_have_passwords_of_their_own(tmp_path: Path) -> None:
    # Sentinels log in to the servers as the default user, who needs no password here.
    own = ("user jobs on >job-secret ~* &* +@all",)
    with Watched(tmp_path, own, ("user umbel on >watch-secret +@all",), STEADY_MILLISECONDS) as watched:
        login = watched.url.replace("://", "://jobs:job-secret@")
        broker = RedisBroker(f"{login}?sentinel_username=umbel&sentinel_password=watch-secret", PATIENT)
        broker.send([job()])
        await broker.asend([job()])
        await close(broker)
        broker = RedisBroker(f"{login}?sentinel_username=umbel&sentinel_password=wrong", PATIENT)
        with pytest.raises(BrokerError, match="WRONGPASS") as failed:
            broker.send([job()])
        assert "secret" not in str(failed.value)
        await close(broker)
