"""Celery on Redis or RabbitMQ, on the prefork pool or on two solo workers.

Settings, from the user guide's "Optimizing" and "Workers" pages: a large prefetch for many short tasks
(``worker_prefetch_multiplier=128``), no gossip, mingle or heartbeat, no events (the default), rate limits off, JSON
without compression, hiredis. No bulk call: a ``group`` sends its members one by one. Variants:

On RabbitMQ ``early`` is all defaults: a classic queue, nothing confirmed. The others promise what Umbel does: a quorum
queue and publisher confirms. Results go to Redis.

* ``early``: prefork, settles before the task runs, Celery's default;
* ``late``: prefork with ``task_acks_late`` and ``task_reject_on_worker_lost``;
* ``solo``: the same on two ``--pool solo`` workers, which run jobs in the process that receives them. Without a child
  to hand a job to it is faster for no-op jobs; it has no time limits and answers no control command meanwhile.
"""

import os

from celery import Celery

from benchmarks.peers.terms import BACKEND, BROKER, PROCESSES, RESULTS, VALUE, VARIANT
from benchmarks.probe import hit
from benchmarks.timing import timed

PREFETCH = 128
LATE = VARIANT != "early"
SOLO = VARIANT == "solo"
SAFE = LATE and BROKER.startswith("amqp")

app = Celery("bench", broker=BROKER, backend=BACKEND if RESULTS else None)
app.conf.update(
    task_ignore_result=not RESULTS,
    task_acks_late=LATE,
    task_reject_on_worker_lost=LATE,
    worker_prefetch_multiplier=PREFETCH,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
if SAFE:
    app.conf.update(task_default_queue_type="quorum", broker_transport_options={"confirm_publish": True})


@app.task
def noop() -> int:
    """Count and return."""
    hit()
    return VALUE


def open() -> None:
    """Connect, and load what the first send would load."""
    with app.producer_or_acquire() as producer:
        producer.connection.ensure_connection()
        producer.channel  # noqa: B018, a lazy property


def enqueue(count: int) -> None:
    """One ``delay()`` a job."""
    for _ in range(count):
        noop.delay()


def latency(count: int) -> list[float]:
    """``delay().get()``, waiting by publish and subscribe."""
    return timed(count, lambda: noop.delay().get(timeout=30))


def worker_command(name: str = __name__) -> list[str]:
    """One worker with two child processes; or, started twice, a worker that runs its jobs itself. *name* is its app."""
    pool = ["--pool", "solo"] if SOLO else ["--pool", "prefork", "--concurrency", str(PROCESSES)]
    quiet = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return ["-m", "celery", "-A", name, "worker", "--hostname", f"bench{os.getpid()}@%h", *pool, *quiet]
