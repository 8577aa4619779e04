"""Umbel at its defaults, on Redis, on SQLite, on PostgreSQL, or on RabbitMQ with claims and results in Redis.

Settings: two child processes; everything else as it comes: late settlement, leases, results in the broker. hiredis and
uvloop are used when the environment has them, as a user's would. Bulk: ``delay_many``. Variant ``loop``: the bare
protocol, see `benchmarks.protocol_loop`.
"""

from benchmarks.peers.terms import ASYNC, BACKEND, BROKER, PROCESSES, RESULTS, VALUE, VARIANT
from benchmarks.probe import hit
from benchmarks.timing import timed
from umbel import Umbel

BATCH = 5000
AN_HOUR = 3600

app = Umbel(
    "bench",
    broker=BROKER if "://" in BROKER else f"sqlite:///{BROKER}",
    backend="" if BACKEND == BROKER else BACKEND,
    task_ignore_result=not RESULTS,
)

if ASYNC:

    @app.task(name="noop")
    async def noop() -> int:
        """Count and return."""
        hit()
        return VALUE

else:

    @app.task(name="noop")
    def noop() -> int:
        """Count and return."""
        hit()
        return VALUE


def open() -> None:
    """Connect, and make its tables if there are none: no jobs are sent."""
    app.broker.send(())
    if BROKER.startswith("postgresql"):
        _ = noop.AsyncResult("nobody").state


def enqueue(count: int) -> None:
    """One ``delay()`` a job."""
    for _ in range(count):
        noop.delay()


def bulk(count: int) -> None:
    """``delay_many`` in batches."""
    for start in range(0, count, BATCH):
        noop.delay_many([()] * min(BATCH, count - start))


def delayed(count: int) -> None:
    """Jobs due in an hour."""
    later = noop.options(countdown=AN_HOUR)
    for start in range(0, count, BATCH):
        later.delay_many([()] * min(BATCH, count - start))


def latency(count: int) -> list[float]:
    """``delay().get()``."""
    return timed(count, lambda: noop.delay().get(timeout=30))


def worker_command(name: str = __name__) -> list[str]:
    """One supervisor, two children; or one process of the bare loop. *name* is its app."""
    if VARIANT == "loop":
        return ["-m", "benchmarks.protocol_loop", BROKER]
    return ["-m", "umbel", "-A", f"{name}:app", "worker", "--processes", str(PROCESSES)]
