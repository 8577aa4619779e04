"""Dramatiq on its Redis broker, which always settles late.

Settings: two processes with four threads each (the default of eight was no faster here), the default middleware,
``Results`` when results are on, ``AsyncIO`` for ``async def`` actors, hiredis; a large prefetch, by the environment
variable that the guide names for it. No bulk call: a ``group`` sends its members one by one.
"""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware.asyncio import AsyncIO
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.terms import ASYNC, BROKER, PROCESSES, RESULTS, VALUE
from benchmarks.probe import hit
from benchmarks.timing import timed

THREADS = 4
PREFETCH = 1000

broker = RedisBroker(url=BROKER)
if RESULTS:
    broker.add_middleware(Results(backend=RedisBackend(url=BROKER)))
if ASYNC:
    broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)


def _count() -> int:
    hit()
    return VALUE


async def _count_async() -> int:
    hit()
    return VALUE


options = {"store_results": True} if RESULTS else {}
noop = dramatiq.actor(_count_async if ASYNC else _count, actor_name="noop", **options)


def open() -> None:
    """Connect."""
    broker.client.ping()


def enqueue(count: int) -> None:
    """One ``send()`` a job."""
    for _ in range(count):
        noop.send()


def latency(count: int) -> list[float]:
    """``send().get_result(block=True)``, waiting in Redis."""
    return timed(count, lambda: noop.send().get_result(block=True, timeout=30_000))


def worker_command() -> list[str]:
    """One master, two worker processes."""
    os.environ["dramatiq_queue_prefetch"] = str(PREFETCH)  # noqa: SIM112 - its name
    return ["-m", "dramatiq", __name__, "--processes", str(PROCESSES), "--threads", str(THREADS), "--skip-logging"]
