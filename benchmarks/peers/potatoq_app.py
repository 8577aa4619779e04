"""potatoQ on Redis, or on SQLite.

Settings, from its README and guide: two processes with four threads each (the default of one was slower), child
recycling off (a long drain would restart children), no scheduler, results in the broker. Settles late always. Bulk: a
``group`` is published in one call. ``async def`` tasks run one at a time a thread.
"""

from potatoq import Potatoq, group

from benchmarks.peers.terms import ASYNC, BROKER, PROCESSES, RESULTS, VALUE
from benchmarks.probe import hit
from benchmarks.timing import timed

BATCH = 500
THREADS = 4

app = Potatoq("bench", broker=BROKER if "://" in BROKER else f"sqlite:///{BROKER}")
app.conf.update(
    result_backend="broker",
    task_ignore_result=not RESULTS,
    worker_max_tasks_per_child=None,
    worker_enable_scheduler=False,
)


def _count() -> int:
    hit()
    return VALUE


async def _count_async() -> int:
    hit()
    return VALUE


noop = app.task(name="noop")(_count_async if ASYNC else _count)


def open() -> None:
    """Connect."""
    app.broker.queue_sizes()


def enqueue(count: int) -> None:
    """One ``delay()`` a job."""
    for _ in range(count):
        noop.delay()


def bulk(count: int) -> None:
    """Groups, each published in one call."""
    for start in range(0, count, BATCH):
        group(noop.si() for _ in range(min(BATCH, count - start))).apply_async()


def latency(count: int) -> list[float]:
    """``delay().get()``."""
    return timed(count, lambda: noop.delay().get(timeout=30))


def worker_command() -> list[str]:
    """One supervisor, two children."""
    options = [
        "-c",
        str(PROCESSES),
        "--threads",
        str(THREADS),
        "--max-tasks-per-child",
        "0",
        "--no-scheduler",
        "-l",
        "WARNING",
    ]
    return ["-m", "potatoq", "-A", f"{__name__}:app", "worker", *options]
