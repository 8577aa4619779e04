"""Limits on PostgreSQL where many meet: nobody waits in a circle, numbers stay true, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.conformance.test_postgres_races import waiting_for
from tests.patient import PATIENT
from tests.servers import Server
from umbel.brokers.postgres import PostgresBroker
from umbel.brokers.postgres.event_log import BOX, LOGS
from umbel.contracts.broker import Beat, Settlement
from umbel.contracts.limits import Admission, Entry
from umbel.engines.postgres_topics import mail, number
from umbel.model.ids import new_id, new_session
from umbel.model.job import Delivery, Job
from umbel.model.limit import Limit, Pace, Unique
from umbel.testing.conformance.eventually import eventually

QUEUE = "crowd"
LEASE = 60.0
RACERS = 24
WORKERS = 4
JOBS = 120
AT_ONCE = 3


@pytest.fixture
async def broker(postgres_url: str) -> AsyncIterator[PostgresBroker]:
    made = PostgresBroker(postgres_url, PATIENT)
    yield made
    await made.aclose()
    made.close()


def limit_of(job_id: str) -> Limit:
    """Three limits of the same task; jobs of one take turns."""
    nth = int(job_id)
    return Limit("task", str(nth % 3), str(nth % 7), Pace(concurrency=AT_ONCE))


def one(url: str, query: LiteralString | sql.Composed | bytes) -> int:
    with psycopg.connect(url, autocommit=True) as admin:
        row = admin.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def left_behind(url: str) -> dict[str, int]:
    """How many rows there are of what only limits keep."""
    tables = ("counter", "turn", "pass", "holder")
    return {table: one(url, sql.SQL("select count(*) from umbel.{}").format(sql.Identifier(table))) for table in tables}


def drifted(url: str) -> int:
    """How many limits count other than there are places of jobs."""
    return one(
        url,
        "select count(*) from umbel.counter where released <> (select count(*) from umbel.pass"
        " where pass.counter = counter.id and not pass.entered) or counter.entered <> (select count(*) from umbel.pass"
        " where pass.counter = counter.id and pass.entered)",
    )


async def test_of_many_who_race_for_one_key_exactly_one_is_accepted(broker: PostgresBroker, postgres_url: str) -> None:
    brokers = [PostgresBroker(postgres_url, PATIENT) for _ in range(3)]

    def race(nth: int) -> str:
        job = Job(str(nth), QUEUE, b"envelope")
        return brokers[nth % 3].limit_store.admit([Admission(job, unique=Unique("key"))])[0]

    with ThreadPoolExecutor(RACERS) as threads:
        loop = asyncio.get_running_loop()
        standing = await asyncio.gather(*(loop.run_in_executor(threads, race, nth) for nth in range(RACERS)))
    for each in brokers:
        each.close()
    assert len(set(standing)) == 1
    assert (await broker.counts([QUEUE]))[0].ready == 1


def deadlocks(server: Server) -> int:
    """How many the server has told of; its statistics of them come seconds later."""
    return server.log.read_text(errors="replace").count("deadlock detected")


async def test_a_crowd_waits_in_no_circle_exceeds_nothing_and_leaves_nothing(
    broker: PostgresBroker, postgres_url: str, postgres_server: Server
) -> None:
    crowd = Crowd(postgres_url)
    await broker.asend([])  # the tables are there
    before = deadlocks(postgres_server)
    async with asyncio.timeout(120):
        await crowd.run()
    assert sorted(crowd.ended) == sorted(map(str, range(JOBS)))
    assert crowd.most <= AT_ONCE
    assert drifted(postgres_url) == 0
    assert deadlocks(postgres_server) == before
    for _ in range(2):
        broker._cleaned = 0.0  # it cleans up once a second
        await broker.reclaim([QUEUE], LEASE)
    assert left_behind(postgres_url) == {"counter": 0, "turn": 0, "pass": 0, "holder": 0}


class Crowd:
    """Producers, workers and supervisors on one queue, each with a client of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ended: list[str] = []
        self.running: dict[str, int] = {}
        self.most = 0

    async def run(self) -> None:
        """Send, run, give back and revoke until all jobs have ended."""
        async with asyncio.TaskGroup() as group:
            for share in range(WORKERS):
                group.create_task(self.work())
                group.create_task(self.produce(share))
            group.create_task(self.supervise())

    async def produce(self, share: int) -> None:
        """Send a share of the jobs; some by their ids alone, as retries and flows do."""
        broker = PostgresBroker(self.url, PATIENT)
        mine = [Job(str(nth), QUEUE, b"envelope") for nth in range(share, JOBS, WORKERS)]
        for start in range(0, len(mine), 5):
            part = mine[start : start + 5]
            unique = [Admission(each, limit_of(each.id), Unique(each.id)) for each in part[:4]]
            await broker.limit_store.aadmit(unique[::-1])
            await broker.asend(part[4:])
        await broker.aclose()
        broker.close()

    async def work(self) -> None:
        """Receive and run until nothing is left to be ended; one in ten is given back."""
        broker, session, turn = PostgresBroker(self.url, PATIENT), new_session(), 0
        await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)
        while len(self.ended) < JOBS:
            deliveries = await broker.receive(session, [QUEUE], 7, wait=0.2)
            if not deliveries:
                continue
            limited = [Entry(each, limit_of(each.id), Unique(each.id)) for each in deliveries]
            answers = await broker.limit_store.enter(session, limited)
            started = [each for each, answer in zip(deliveries, answers, strict=True) if answer == "run"]
            self.count(started, 1)
            await asyncio.sleep(0)
            self.count(started, -1)
            turn += 1
            kind = "release" if turn % 10 == 0 else "end"
            settlements = [Settlement(each, kind) for each in started]  # type: ignore[arg-type]
            assert await broker.settle(session, settlements) == [True] * len(started)
            self.ended += [each.id for each in started] if kind == "end" else []
            await broker.limit_store.leave([(QUEUE, limit_of(each.id), each.id) for each in started])
        await broker.aclose()
        broker.close()

    async def supervise(self) -> None:
        """Reclaim and look, as fast as may be."""
        broker = PostgresBroker(self.url, PATIENT)
        while len(self.ended) < JOBS:
            await broker.reclaim([QUEUE], LEASE)
            await broker.limit_store.alimits(QUEUE, "", 10)
        await broker.aclose()
        broker.close()

    def count(self, deliveries: list[Delivery], change: int) -> None:
        """Note that jobs have started, or are about to end."""
        for each in deliveries:
            key = limit_of(each.id).key
            self.running[key] = self.running.get(key, 0) + change
            self.most = max(self.most, self.running[key])


async def test_tables_of_the_version_before_are_taken_over(broker: PostgresBroker, postgres_url: str) -> None:
    schema = files("umbel.engines").joinpath("postgres_schema")
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("drop schema if exists umbel cascade; create schema umbel")
        admin.execute("create table umbel.migration(number integer primary key, at timestamptz not null default now())")
        for file in sorted(schema.iterdir(), key=lambda each: each.name):
            if file.name < "0005":
                admin.execute(f"begin; {file.read_text()}; commit".encode())
                admin.execute("insert into umbel.migration(number) values (%s)", (int(file.name[:4]),))
        admin.execute(
            "insert into umbel.job(id, queue, level, run_at, envelope) values (%s, %s, 9, now(), 'envelope')",
            (old := new_id(), QUEUE),
        )
    limit = Limit("task", pace=Pace(concurrency=1))
    await broker.limit_store.aadmit([Admission(Job("new", QUEUE, b"envelope"), limit)])
    session = new_session()
    await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)
    deliveries = await broker.receive(session, [QUEUE], 10, wait=0)
    assert [each.id for each in deliveries] == [old, "new"]
    assert await broker.limit_store.enter(session, [Entry(each, limit) for each in deliveries]) == ["held", "run"]


async def test_numbers_of_events_become_visible_in_their_order(broker: PostgresBroker, postgres_url: str) -> None:
    """Whoever appends waits for a transaction that has appended and is not over; without that a reader passes it by."""
    await broker.event_log.aappend([b"first"], 100)
    with psycopg.connect(postgres_url) as slow:
        slow.execute("select pg_advisory_xact_lock(%s, %s)", (LOGS, number(mail(BOX))))
        second = asyncio.create_task(broker.event_log.aappend([b"second"], 100))
        await eventually(lambda: second.done() or one(postgres_url, waiting_for(slow)))
        assert not second.done()
    await asyncio.wait_for(second, 30)
    assert [each.batch for each in await broker.event_log.read("", 10, 0)] == [b"first", b"second"]
