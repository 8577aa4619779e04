"""RQ with its in-process worker.

Settings, from RQ's "Notes on Performance" page: ``SimpleWorker``, which runs jobs without a fork and is the fastest;
``worker-pool`` with two workers, log level WARNING, ``enqueue_many`` for bulk, hiredis. Results go to a Redis stream a
job; off means ``result_ttl=0``. Settles late in part: a started job is in a registry, and one that was abandoned is
later failed, not run again unless it has retries. For an ``async def`` job RQ starts an event loop of its own.
"""

import os
from typing import Any

from redis import Redis
from rq import Queue

from benchmarks.peers.terms import ASYNC, BROKER, PROCESSES, RESULTS, VALUE
from benchmarks.probe import hit
from benchmarks.timing import timed

BATCH = 500
KEEP = 500 if RESULTS else 0  # seconds, RQ's default

queue = Queue(connection=Redis.from_url(BROKER))


def count_one() -> int:
    """Count and return."""
    hit()
    return VALUE


async def count_one_async() -> int:
    """Count and return."""
    hit()
    return VALUE


noop = count_one_async if ASYNC else count_one


def open() -> None:
    """Connect."""
    queue.connection.ping()


def enqueue(count: int) -> None:
    """One ``enqueue()`` a job."""
    for _ in range(count):
        queue.enqueue(noop, result_ttl=KEEP)


def bulk(count: int) -> None:
    """``enqueue_many`` in batches."""
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        queue.enqueue_many([Queue.prepare_data(noop, result_ttl=KEEP) for _ in range(size)])


def latency(count: int) -> list[float]:
    """Enqueue, then wait for the result on its stream."""

    def call() -> Any:
        return queue.enqueue(noop, result_ttl=KEEP).latest_result(timeout=30)

    return timed(count, call)


def worker_command() -> list[str]:
    """A pool of two workers."""
    os.environ["RQ_REDIS_URL"] = BROKER
    workers = ["--num-workers", str(PROCESSES), "--worker-class", "rq.SimpleWorker", "--logging-level", "WARNING"]
    return ["-m", "rq.cli", "worker-pool", *workers]
