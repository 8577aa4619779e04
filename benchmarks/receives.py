"""How long a receive on PostgreSQL takes: before an empty table, and with a million jobs queued and a million done."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from uuid import uuid4

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
DONE = 256  # at a time
LEASE = 3_600.0  # seconds
KEPT = 86_400.0  # seconds
ENVELOPE, RECORD = bytes(120), bytes(60)  # the sizes of a job and its result without arguments


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
        print(f"receives: {number:,} jobs done, {number:,} queued", flush=True)
        servers.clear(POSTGRES)
        broker = connect(servers.broker(POSTGRES, Path()), Settings())
        found.append(asyncio.run(_measured(broker, number)))
        broker.close()
    return Receives(jobs, *found)


async def _measured(broker: Broker, jobs: int) -> Taken:
    session = uuid4().hex
    await broker.heartbeat([Beat(session)], [DEFAULT_QUEUE], LEASE, opening=True)
    for start in range(0, jobs, SENT):
        await _send(broker, SENT)
        for _ in range(start, start + SENT, DONE):
            await _run(broker, session, DONE)
    await _send(broker, jobs + RECEIVES * JOBS)
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
