"""PgQueuer on PostgreSQL, over asyncpg and uvloop.

Settings: two worker processes; batches of 500, the largest that was faster here than the one before; durability
``durable``, its default. It stores no return values and runs coroutine functions only: for ``def``
its manual says to call ``asyncio.to_thread``, so that is done. The client is ``async`` only: calls are awaited one by
one. Bulk: ``enqueue`` with a list.
"""

import asyncio

import asyncpg
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job

from benchmarks.peers.terms import ASYNC, BROKER
from benchmarks.probe import hit

BATCH = 5000
DEQUEUED = 500

_loop = uvloop.new_event_loop()
_queries: list[Queries] = []


async def factory() -> PgQueuer:
    """What a worker runs."""
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(BROKER)))

    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        del job
        if ASYNC:
            hit()
        else:
            await asyncio.to_thread(hit)

    return queuer


def open() -> None:
    """Connect, and make its tables if the database is a new one."""

    async def connect() -> None:
        connection = await asyncpg.connect(BROKER)
        queries = Queries(AsyncpgDriver(connection))
        if await connection.fetchval("select to_regclass('pgqueuer')") is None:
            await queries.install()
        _queries.append(queries)

    _loop.run_until_complete(connect())


def enqueue(count: int) -> None:
    """One awaited ``enqueue()`` a job."""

    async def send() -> None:
        for _ in range(count):
            await _queries[0].enqueue("noop", None)

    _loop.run_until_complete(send())


def bulk(count: int) -> None:
    """``enqueue`` in batches."""

    async def send() -> None:
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            await _queries[0].enqueue(["noop"] * size, [None] * size, [0] * size)

    _loop.run_until_complete(send())


def worker_command() -> list[str]:
    """One worker process; it is started twice."""
    return ["-m", __name__]


async def work() -> None:
    """What ``pgqueuer run`` does; that command itself does not start in this version."""
    queuer = await factory()
    await queuer.run(batch_size=DEQUEUED)


if __name__ == "__main__":
    uvloop.run(work())
