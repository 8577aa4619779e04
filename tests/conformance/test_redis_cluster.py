"""The specification on a Redis Cluster, and what becomes of those at work when nodes go or slots move."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_claims import OnRedis
from tests.conformance.test_redis_acl import more_rights, rules
from tests.patient import PATIENT, UNREACHED
from tests.servers import Server
from tests.servers.cluster import STEADY_MILLISECONDS, Cluster
from tests.servers.redis import command, replicated
from tests.servers.sentinel import bulk
from umbel.brokers import connect
from umbel.brokers.redis import RedisBroker, operations
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.flows import started_flow
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.powers import Record
from umbel.engines.redis_address import parse
from umbel.engines.redis_command import Command
from umbel.engines.redis_flows import Begin, Started
from umbel.engines.redis_opening import opened
from umbel.exceptions import BrokerError, BrokerUnavailable
from umbel.model.flow import Flow, Join, Node, Page
from umbel.model.ids import new_id
from umbel.model.job import Delivery, Job
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore
from umbel.testing import BrokerConformance, InspectorConformance, RecordConformance, ResultStoreConformance
from umbel.testing.conformance.ageing import AgeingConformance
from umbel.testing.conformance.event_log import EventLogConformance
from umbel.testing.conformance.eventually import soon
from umbel.testing.conformance.flows import FlowConformance
from umbel.testing.conformance.jobs import JobConformance
from umbel.testing.conformance.limiting import LimitingConformance
from umbel.testing.conformance.mailbox import MailboxConformance
from umbel.testing.conformance.results import PROMPT_SECONDS
from umbel.testing.conformance.schedules import ScheduleConformance

# Slots 15495, 3300 and 7365: one queue on each primary.
QUEUES = ("a", "b", "c")
QUEUE = QUEUES[0]
SECONDS = 90.0
FAILOVER = Settings(broker_send_deadline=SECONDS)
"""However long a busy machine takes to find a new primary."""


@pytest.fixture(scope="module")
def cluster_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), patience=STEADY_MILLISECONDS) as cluster:
        yield cluster


@pytest.fixture
def cluster(cluster_for_all: Cluster) -> Cluster:
    """The nodes, empty; for tests that leave them as they are."""
    cluster_for_all.flush()
    return cluster_for_all


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Nodes for a test that kills some."""
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def steady_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Nodes for a test that changes who has which slot, or who may what, and kills none."""
    with Cluster(tmp_path, patience=STEADY_MILLISECONDS) as cluster:
        yield cluster


class OnCluster:
    url: str

    @pytest.fixture(autouse=True)
    def _server(self, cluster: Cluster) -> None:
        self.url = cluster.url

    def make(self, clock: Callable[[], float]) -> RedisBroker:
        return RedisBroker(self.url, PATIENT, clock)

    def make_store(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


class TestBroker(OnCluster, BrokerConformance):
    pass


class TestRecords(OnCluster, RecordConformance):
    pass


class TestFlows(OnCluster, FlowConformance):
    pass


class TestSchedules(OnCluster, ScheduleConformance):
    pass


class TestJobs(OnCluster, JobConformance):
    pass


class TestAgeing(OnCluster, AgeingConformance):
    pass


class TestLimits(OnCluster, LimitingConformance):
    pass


class TestEventLog(OnCluster, EventLogConformance):
    pass


class TestMailbox(OnCluster, MailboxConformance):
    pass


class TestInspector(OnCluster, InspectorConformance):
    pass


class TestClaims(OnRedis):
    @pytest.fixture(autouse=True)
    def _server(self, cluster: Cluster) -> None:
        self.url = cluster.url


class TestStore(ResultStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, cluster: Cluster) -> None:
        self.url = cluster.url

    def make(self, clock: Callable[[], float]) -> RedisResultStore:
        return RedisResultStore(self.url, PATIENT)


async def test_each_node_tells_of_itself(cluster: Cluster) -> None:
    broker = RedisBroker(cluster.url, PATIENT)
    names = [each.name for each in await broker.examine()]
    await broker.aclose()
    assert len([name for name in names if name.endswith(" version")]) == len(QUEUES)


def job(queue: str = QUEUE, job_id: str = "") -> Job:
    return Job(job_id or new_id(), queue, b"envelope")


async def close(*each: Any) -> None:
    for one in each:
        await one.aclose()
        one.close()


def owners(cluster: Cluster) -> set[int]:
    return {cluster.owner(f"{{{queue}}}").port for queue in QUEUES}


# --- several nodes


async def test_queues_are_spread_over_the_nodes_and_served_as_one(cluster: Cluster) -> None:
    assert len(owners(cluster)) == 3
    broker = RedisBroker(cluster.url, PATIENT)
    broker.send([job(queue) for queue in QUEUES])
    await broker.asend([job(queue) for queue in QUEUES])
    assert await broker.queues() == list(QUEUES)
    assert [each.ready for each in await broker.counts(QUEUES)] == [2, 2, 2]
    assert await broker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True) == [True]
    deliveries = await broker.receive("s", QUEUES, 10, wait=0)
    assert sorted(each.queue for each in deliveries) == sorted(QUEUES * 2)
    assert await broker.settle("s", [Settlement(each, "end", record=b"record") for each in deliveries]) == [True] * 6
    await close(broker)


@pytest.mark.parametrize("queue", QUEUES)
async def test_a_wait_for_several_queues_hears_of_each(cluster: Cluster, queue: str) -> None:
    broker = RedisBroker(cluster.url, PATIENT)
    await broker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True)
    waiting = asyncio.create_task(broker.receive("s", QUEUES, 1, wait=30.0))
    await asyncio.sleep(0.1)  # into its wait
    await broker.asend([job(queue)])
    (delivery,) = await soon(waiting, PROMPT_SECONDS)
    assert delivery.queue == queue
    await close(broker)


async def test_a_record_is_heard_of_on_any_node_and_found_without_its_queue(cluster: Cluster) -> None:
    store = RedisResultStore(cluster.url, PATIENT)
    for queue in QUEUES:
        job_id = f"in-{queue}"
        watching = [
            asyncio.create_task(store.awatch(job_id, queue, 60.0)),
            asyncio.create_task(asyncio.to_thread(store.watch, job_id, None, 60.0)),
        ]
        await asyncio.sleep(0.2)  # into their waits, which look again after a minute only
        await store.put([Record(job_id, queue, b"record", 60.0)])
        assert await soon(asyncio.gather(*watching), PROMPT_SECONDS) == [b"record"] * 2
        assert store.fetch(job_id, None) == b"record"
        store.forget(job_id, None)
        assert await store.afetch(job_id, queue) is None
    await close(store)


# --- follow-ups on other nodes


async def test_follow_ups_on_every_node_are_there_when_the_settle_is(cluster: Cluster) -> None:
    broker = RedisBroker(cluster.url, PATIENT)
    await broker.asend([job()])
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    (delivery,) = await broker.receive("s", [QUEUE], 1, wait=0)
    follow_ups = (*(job(queue) for queue in QUEUES), Job("later", "b", b"envelope", delay=60.0))
    assert await broker.settle("s", [Settlement(delivery, "end", follow_ups=follow_ups)]) == [True]
    found = await broker.counts(QUEUES)
    assert [(each.ready, each.delayed) for each in found] == [(1, 0), (1, 1), (1, 0)]
    assert command(cluster.owner("{a}").port, "EXISTS umbel:{a}:outbox") == ":0"
    await close(broker)


async def test_follow_ups_that_a_dead_worker_left_behind_are_sent_by_the_next_reclaim(cluster: Cluster) -> None:
    broker = RedisBroker(cluster.url, PATIENT)
    engine = opened(parse(cluster.url, timeout=30.0, connect_timeout=30.0), 30.0)
    await broker.asend([job()])
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    (delivery,) = await broker.receive("s", [QUEUE], 1, wait=0)
    # It dies with the answer to its settle: the step after that one is never made.
    follow_ups = (Job("urgent", "b", b"en vel\nope", priority=9), Job("later", "c", b"envelope", delay=60.0))
    verdict = Settlement(delivery, "end", follow_ups=follow_ups)
    steps = operations.settle(Calls(b"umbel:0:e:", None, clustered=True), "s", [verdict], ())
    await engine.acall(next(steps))
    steps.close()
    assert command(cluster.owner("{a}").port, "HLEN umbel:{a}:outbox") == ":2"
    await broker.reclaim([QUEUE], 10.0)
    found = await broker.counts(QUEUES)
    assert [(each.ready, each.delayed) for each in found] == [(0, 0), (1, 0), (0, 1)]
    assert command(cluster.owner("{a}").port, "EXISTS umbel:{a}:outbox") == ":0"
    await broker.heartbeat([Beat("t")], ["b"], 60.0, opening=True)
    (urgent,) = await broker.receive("t", ["b"], 1, wait=0)
    assert (urgent.id, urgent.level, urgent.envelope) == ("urgent", 0, b"en vel\nope")
    await close(broker, engine)


# --- flows whose members are on other nodes than their state


def flow_of(members: int, **fields: Any) -> Flow:
    """A flow that lives with the first queue: members, what waits for them, an end."""
    return Flow(new_id(), QUEUE, (Node(0, 0), Node(1, members), Node(2, 1)), **fields)


def joining(delivery: Delivery, flow: Flow, number: int, **fields: Any) -> Settlement:
    join = Join(flow.id, QUEUE, 1, number, b"value of %d" % number)
    return Settlement(delivery, "end", record=b"r", ttl=60.0, joins=(join,), **fields)


async def left_behind(cluster: Cluster, verdict: Settlement) -> None:
    """A worker settles *verdict* and dies with the answer: the step after that one is never made."""
    engine = opened(parse(cluster.url, timeout=30.0, connect_timeout=30.0), 30.0)
    steps = operations.settle(Calls(b"umbel:0:e:", None, clustered=True), "s", [verdict], ())
    ((ok, mine),) = await engine.acall(next(steps))
    assert (ok, mine) == (b"ok", 1)
    steps.close()
    await close(engine)


async def test_members_on_every_node_open_what_waits_for_them_on_every_node(cluster: Cluster) -> None:
    broker, flow = RedisBroker(cluster.url, PATIENT), flow_of(3)
    bodies = [(1, job(queue)) for queue in QUEUES for _ in range(300)]
    await broker.flow_store.astart(flow, [*((0, job(queue)) for queue in QUEUES), *bodies])
    await broker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True)
    for number, queue in enumerate(QUEUES):
        (delivery,) = await broker.receive("s", [queue], 10, wait=0)
        assert await broker.settle("s", [joining(delivery, flow, number)]) == [True]
    received = [each.id for queue in QUEUES for each in await every(broker, queue)]
    assert sorted(received) == sorted(job.id for _, job in bodies)
    (standing,) = await broker.flow_store.inputs([Page(flow.id, QUEUE, 1, -1, 10)])
    assert standing is not None
    assert [each.value for each in standing.inputs] == [b"value of 0", b"value of 1", b"value of 2"]
    await close(broker)


async def every(broker: RedisBroker, queue: str) -> list[Delivery]:
    """All that is ready in *queue*."""
    received: list[Delivery] = []
    while found := await broker.receive("s", [queue], 100, wait=0):
        received += found
    return received


async def test_a_join_that_a_dead_worker_left_behind_is_counted_by_the_next_reclaim(cluster: Cluster) -> None:
    broker, flow = RedisBroker(cluster.url, PATIENT), flow_of(1)
    await broker.flow_store.astart(flow, [(0, job("b")), (1, job(QUEUE, "body"))])
    await broker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True)
    (delivery,) = await broker.receive("s", ["b"], 1, wait=0)
    await left_behind(cluster, joining(delivery, flow, 0))
    assert await broker.receive("s", [QUEUE], 1, wait=0) == []
    for _ in range(2):  # once more changes nothing
        await broker.reclaim(["b"], 60.0)
    assert [each.id for each in await every(broker, QUEUE)] == ["body"]
    await close(broker)


async def test_a_new_member_is_sent_after_its_node_has_heard_of_it(cluster: Cluster) -> None:
    broker, flow = RedisBroker(cluster.url, PATIENT), flow_of(1)
    await broker.flow_store.astart(flow, [(0, job("b")), (1, job(QUEUE, "body"))])
    await broker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True)
    (delivery,) = await broker.receive("s", ["b"], 1, wait=0)
    more = tuple(job(queue, f"more in {queue}") for queue in ("b", "c"))
    added = (flow.id, QUEUE, 1)
    await left_behind(cluster, joining(delivery, flow, 0, follow_ups=more, added=(added, added)))
    assert await broker.receive("s", QUEUES, 10, wait=0) == []
    await broker.reclaim(["b"], 60.0)
    received = await every(broker, "b") + await every(broker, "c")
    assert [each.id for each in received] == [each.id for each in more]
    for number, each in enumerate(received, 1):
        assert await every(broker, QUEUE) == []
        assert await broker.settle("s", [joining(each, flow, number)]) == [True]
    assert [each.id for each in await every(broker, QUEUE)] == ["body"]
    await close(broker)


async def test_what_a_dead_starter_left_for_other_nodes_is_sent_by_the_next_reclaims(cluster: Cluster) -> None:
    broker, flow = RedisBroker(cluster.url, PATIENT), flow_of(600)
    engine = opened(parse(cluster.url, timeout=30.0, connect_timeout=30.0), 30.0)
    started = Started([QUEUE, "b"])
    begin = Begin(flow, ((0, job("b")) for _ in range(600)))
    steps = started_flow(Calls(b"umbel:0:e:", None, clustered=True), begin, started)
    await engine.acall(next(steps))
    steps.close()
    await broker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True)
    assert await broker.receive("s", ["b"], 1, wait=0) == []
    while (await broker.reclaim([QUEUE], 60.0)).promoted:
        pass
    await broker.reclaim([QUEUE], 60.0)
    assert len(await every(broker, "b")) == 600
    await close(broker, engine)


# --- nodes that go, slots that move


async def test_when_a_primary_dies_its_replica_takes_over_for_everybody(own_cluster: Cluster) -> None:
    broker, store = RedisBroker(own_cluster.url, FAILOVER), RedisResultStore(own_cluster.url, FAILOVER)
    broker.send([job(queue, f"before-{queue}") for queue in QUEUES])
    victim = own_cluster.owner("{a}")
    replicated(victim.port, 1, "tests:{a}")
    watching = [
        asyncio.create_task(store.awatch("id", QUEUE, SECONDS)),
        asyncio.create_task(asyncio.to_thread(store.watch, "id", QUEUE, SECONDS)),
    ]
    victim.kill()
    sending = (broker.asend([job()]), asyncio.to_thread(broker.send, [job(queue) for queue in QUEUES]))
    await soon(asyncio.gather(*sending), SECONDS)
    assert [each.ready for each in await broker.counts(QUEUES)] == [3, 2, 2]
    await store.put([Record("id", QUEUE, b"record", 60.0)])
    assert await soon(asyncio.gather(*watching), SECONDS) == [b"record"] * 2
    await close(broker, store)


async def test_what_a_primary_acknowledged_and_its_replica_never_heard_of_is_said_again(own_cluster: Cluster) -> None:
    broker = RedisBroker(own_cluster.url, FAILOVER)
    broker.send([job("b"), job("c")])
    victim = own_cluster.owner("{a}")
    (replica,) = [
        each
        for each in own_cluster.nodes
        if each not in own_cluster.primaries and f"master_port:{victim.port}" in info(each)
    ]
    replica.pause()
    assert command(victim.port, "CLIENT KILL TYPE replica") == ":1"
    broker.send([job(job_id="sent")])
    await broker.asend([job(job_id="sent too")])
    victim.kill()
    replica.resume()
    assert [each.ready for each in await soon(broker.counts(QUEUES), SECONDS)] == [2, 1, 1]
    await close(broker)


async def test_an_empty_queue_that_moves_to_another_node_is_followed(steady_cluster: Cluster) -> None:
    broker = RedisBroker(steady_cluster.url, PATIENT)
    assert [each.ready for each in await broker.counts(QUEUES)] == [0, 0, 0]  # so it knows who has which slot
    move(steady_cluster, "{a}")
    broker.send([job()])
    await broker.asend([job()])
    assert (await broker.counts([QUEUE]))[0].ready == 2
    await close(broker)


# --- users


async def test_the_users_of_the_document_need_the_few_rights_more_that_it_names(steady_cluster: Cluster) -> None:
    for node in steady_cluster.nodes:
        more = " ".join(f"+{right}" for right in sorted(more_rights() | {"hrandfield", "lindex", "lset", "ltrim"}))
        assert command(node.port, f"{rules('producer')} +cluster|slots +asking +ping") == "+OK"
        rights = rules("producer").replace(" producer", " starter")
        assert command(node.port, f"{rights} +cluster|slots +asking +ping {more}") == "+OK"
        assert command(node.port, f"{rules('worker')} +cluster|slots +asking +ping +hrandfield") == "+OK"
    sender = steady_cluster.url.replace("://", "://producer:secret@")
    producer, results = RedisBroker(sender, PATIENT), RedisResultStore(sender, PATIENT)
    worker = RedisBroker(steady_cluster.url.replace("://", "://worker:secret@"), PATIENT)
    producer.send([job(queue) for queue in QUEUES])
    await worker.heartbeat([Beat("s")], QUEUES, 60.0, opening=True)
    first, *others = await worker.receive("s", QUEUES, 10, wait=0)
    follow_ups = tuple(job(queue) for queue in QUEUES)
    verdicts = [Settlement(first, "end", record=b"record", follow_ups=follow_ups)]
    verdicts += [Settlement(each, "end", record=b"record") for each in others]
    assert await worker.settle("s", verdicts) == [True] * 3
    assert results.watch(first.id, None, 1.0) == b"record"
    assert await results.awatch(others[0].id, None, 1.0) == b"record"
    await worker.reclaim(QUEUES, 60.0)
    assert len(await worker.receive("s", QUEUES, 10, wait=0)) == 3
    assert await worker.receive("s", QUEUES, 10, wait=0.05) == []
    starter = RedisBroker(steady_cluster.url.replace("://", "://starter:secret@"), PATIENT)
    await starter.flow_store.astart(flow_of(300), [(0, job("b")) for _ in range(300)])
    assert len(await every(worker, "b")) == 300
    await close(producer, results, worker, starter)


# --- what cannot be


async def test_a_server_that_is_no_cluster_is_said_at_once(redis_url: str) -> None:
    broker = RedisBroker(redis_url.replace("redis:", "redis+cluster:"), Settings(broker_send_deadline=30.0))
    begun = time.monotonic()
    for sending in (asyncio.to_thread(broker.send, [job()]), broker.asend([job()])):
        with pytest.raises(BrokerError, match="cluster support disabled") as failed:
            await sending
        assert not isinstance(failed.value, BrokerUnavailable)
    assert time.monotonic() - begun < 15.0


async def test_without_a_node_a_send_fails_within_its_deadline() -> None:
    broker = connect("redis+cluster://user:secret@127.0.0.1:1,127.0.0.1:2", Settings(broker_send_deadline=0.5))
    for sending in (asyncio.to_thread(broker.send, [job()]), broker.asend([job()])):
        with pytest.raises(BrokerUnavailable, match=rf"user:\*\*\*@127\.0\.0\.1:1,127\.0\.0\.1:2 ({UNREACHED})"):
            await sending


async def test_a_slot_that_is_being_moved_is_asked_for_where_it_goes(steady_cluster: Cluster) -> None:
    source, target = steady_cluster.owner("{a}"), steady_cluster.owner("{b}")
    slot = command(source.port, "CLUSTER KEYSLOT {a}")[1:]
    engine = opened(parse(steady_cluster.url, timeout=30.0, connect_timeout=30.0), 30.0)
    engine.call([Command((b"SET", b"{a}here", b"1"))])
    assert command(target.port, f"CLUSTER SETSLOT {slot} IMPORTING {node_id(source)}") == "+OK"
    assert command(source.port, f"CLUSTER SETSLOT {slot} MIGRATING {node_id(target)}") == "+OK"
    assert engine.call([Command((b"SET", b"{a}new", b"2")), Command((b"GET", b"{a}here"))]) == [b"OK", b"1"]
    assert await engine.acall([Command((b"GET", b"{a}new"))]) == [b"2"]
    await close(engine)


def info(node: Server) -> str:
    return bulk(node.port, "INFO replication")


def node_id(node: Server) -> str:
    return bulk(node.port, "CLUSTER MYID")


def move(cluster: Cluster, key: str) -> None:
    """Give the slot of *key*, which is empty, to another primary."""
    source = cluster.owner(key)
    target = next(each for each in cluster.primaries if each is not source)
    slot = command(source.port, f"CLUSTER KEYSLOT {key}")[1:]
    assert command(target.port, f"CLUSTER SETSLOT {slot} IMPORTING {node_id(source)}") == "+OK"
    assert command(source.port, f"CLUSTER SETSLOT {slot} MIGRATING {node_id(target)}") == "+OK"
    for node in (target, source):
        assert command(node.port, f"CLUSTER SETSLOT {slot} NODE {node_id(target)}") == "+OK"
