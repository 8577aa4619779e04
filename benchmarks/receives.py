"""How long a receive on PostgreSQL takes: before an empty table, and with a million jobs queued and a million done."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from uuid import uuid4

import psycopg

from benchmarks.clock import tell
from benchmarks.contenders import POSTGRES
from benchmarks.servers import Servers
from umbel.brokers import connect
from umbel.contracts.broker import Beat, Broker, Settlement
from umbel.model.ids import new_id
from umbel.model.job import DEFAULT_QUEUE, Job
from umbel.settings import Settings

CONTENDER = "umbel-postgres"
RECEIVES = 1_000
JOBS = 32  # a receive
SENT = 5_000  # at a time
PREPARED = 50_000  # rows a statement
LEASE = 3_600.0  # seconds
KEPT = 86_400.0  # seconds
ENVELOPE, RECORD = bytes(120), bytes(60)  # the sizes of a job and its result without arguments
INDEXES = """
select indexname, indexdef from pg_indexes
where schemaname = 'umbel' and tablename = 'job' and indexdef like '% WHERE %'
"""
# Jobs that are ready, in a statement of many.
QUEUED = """
insert into umbel.job(id, queue, level, run_at, envelope)
select gen_random_uuid(), %(queue)s, 9, clock_timestamp(), %(envelope)s from generate_series(1, %(number)s)
"""
# What others leave that came before and have ended: a record, and remains in front of those that wait.
COMING = """
insert into umbel.job(id, queue, level, run_at, envelope)
select lpad(to_hex(n), 32, '0')::uuid, %(queue)s, 9, timestamptz '2020-01-01' + n * interval '1 ms', %(envelope)s
from generate_series(%(first)s + 1, %(first)s + %(number)s) as n
"""
GOING = """
with gone as (
    delete from umbel.job where queue = %(queue)s and level = 9 and state = 0 and run_at < timestamptz '2021-01-01'
        and run_at > timestamptz '2020-01-01' + %(first)s * interval '1 ms' returning id
)
insert into umbel.result(id, expires, writer, record) select id, now() + interval '1 day', '', %(record)s from gone
"""


@dataclass(frozen=True)
class Taken:
    """Milliseconds that receives of `JOBS` jobs took: median and 99th percentile."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Receives:
    """What was measured, *jobs* being queued, and as many done."""

    jobs: int
    empty: Taken
    full: Taken


def measure(servers: Servers, jobs: int) -> Receives:
    """Measure both, one after the other, on a new database each."""
    found: list[Taken] = []
    for number in (0, jobs):
        tell(f"receives: {number:,} jobs done, {number:,} queued")
        servers.clear(POSTGRES)
        url = servers.broker(POSTGRES, Path())
        broker = connect(url, Settings())
        broker.send([Job(new_id(), "tables", ENVELOPE)])  # makes them
        _prepare(url, number)
        found.append(asyncio.run(_measured(broker)))
        broker.close()
    return Receives(jobs, *found)


def _prepare(url: str, jobs: int) -> None:
    """Fill the tables with *jobs* that are done, and as many that are queued."""
    values = {"queue": DEFAULT_QUEUE, "envelope": ENVELOPE, "record": RECORD, "number": PREPARED}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set enable_seqscan = off")
        indexes = connection.execute(INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f"drop index umbel.{name}".encode())
        for _ in range(0, jobs, PREPARED):
            connection.execute(QUEUED, values)
        for _, definition in indexes:
            connection.execute(definition.encode())
        for first in range(0, jobs, PREPARED):
            connection.execute(COMING, {**values, "first": first})
            connection.execute(GOING, {**values, "first": first})


async def _measured(broker: Broker) -> Taken:
    session = uuid4().hex
    await broker.heartbeat([Beat(session)], [DEFAULT_QUEUE], LEASE, opening=True)
    await _send(broker, RECEIVES * JOBS)
    seconds = [await _run(broker, session, JOBS) for _ in range(RECEIVES)]
    await broker.aclose()
    return Taken(1000 * median(seconds), 1000 * quantiles(seconds, n=100)[98])


async def _send(broker: Broker, jobs: int) -> None:
    for start in range(0, jobs, SENT):
        await broker.asend([Job(new_id(), DEFAULT_QUEUE, ENVELOPE) for _ in range(min(SENT, jobs - start))])


async def _run(broker: Broker, session: str, limit: int) -> float:
    """Receive and settle; the seconds of the receive."""
    started = time.perf_counter()
    deliveries = await broker.receive(session, [DEFAULT_QUEUE], limit, wait=1.0)
    taken = time.perf_counter() - started
    await broker.settle(session, [Settlement(each, "end", record=RECORD, ttl=KEPT) for each in deliveries])
    return taken


def lines(found: Receives) -> list[str]:
    """The findings as a Markdown table."""
    rows = ((f"{JOBS} jobs at a time from an otherwise empty table", found.empty),
            (f"the same with {found.jobs:,} queued and {found.jobs:,} done just before", found.full))  # fmt: skip
    return [
        "| receives | p50, ms | p99, ms |",
        "|---|---|---|",
        *(f"| {what} | {taken.p50:.2f} | {taken.p99:.2f} |" for what, taken in rows),
        f"| times as long | {found.full.p50 / found.empty.p50:.2f} | {found.full.p99 / found.empty.p99:.2f} |",
    ]
