"""Huey on Redis, or on its SQLite storage.

Settings, from the guide: the ``process`` worker type, blocking dequeue (the default of ``RedisHuey``), no scheduler for
periodic tasks, quiet log, hiredis. A waiting client polls each millisecond, unless the variant is ``notify``:
``notify_result``, for low-latency results at the price of more commands a job. On SQLite: ``fsync=False``, and workers
poll each ten milliseconds. Settles early: a task is taken off the list before it runs, and Huey has no late mode. No
bulk call: ``map`` sends its members one by one. Tasks are ``def`` only.
"""

from typing import Any

from huey import RedisHuey, SqliteHuey

from benchmarks.peers.terms import BROKER, PROCESSES, RESULTS, VALUE, VARIANT
from benchmarks.probe import hit
from benchmarks.timing import timed

ON_REDIS = BROKER.startswith("redis://")
NOTIFY = VARIANT == "notify"
CLIENT_POLL = 0.001  # seconds
WORKER_POLL = "0.01"  # seconds


def _app() -> Any:
    if ON_REDIS:
        return RedisHuey("bench", url=BROKER, results=RESULTS, notify_result=NOTIFY)
    return SqliteHuey("bench", filename=BROKER, results=RESULTS, fsync=False)


huey = _app()


@huey.task()
def noop() -> int:
    """Count and return."""
    hit()
    return VALUE


def open() -> None:
    """Connect."""
    huey.storage.queue_size()


def enqueue(count: int) -> None:
    """One call of the task a job."""
    for _ in range(count):
        noop()


def latency(count: int) -> list[float]:
    """Call the task, then wait for its value."""
    return timed(count, lambda: noop()(blocking=True, timeout=30, max_delay=CLIENT_POLL))


def worker_command() -> list[str]:
    """One consumer, two worker processes."""
    options = ["--worker-type", "process", "--workers", str(PROCESSES), "--no-periodic", "--quiet"]
    if not ON_REDIS:
        options += ["--delay", WORKER_POLL, "--max-delay", WORKER_POLL]
    return ["-m", "huey.bin.huey_consumer", f"{__name__}.huey", *options]
