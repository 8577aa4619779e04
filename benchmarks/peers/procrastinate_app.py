"""Procrastinate on PostgreSQL.

Settings, from its guide on production: two worker processes with a concurrency each (more than 30 was no faster here),
notifications on (the default), jobs that succeeded are deleted (keeping them was slower), log level WARNING. It stores
no return values. ``def`` tasks run in threads. Bulk: ``batch_defer``.
"""

from procrastinate import App, PsycopgConnector

from benchmarks.peers.terms import ASYNC, BROKER, VALUE
from benchmarks.probe import hit

BATCH = 5000
CONCURRENCY = "30"

app = App(connector=PsycopgConnector(conninfo=BROKER))


def _count() -> int:
    hit()
    return VALUE


async def _count_async() -> int:
    hit()
    return VALUE


noop = app.task(name="noop")(_count_async if ASYNC else _count)


def open() -> None:
    """Connect, and make its tables if the database is a new one."""
    app.open()
    found = app.connector.get_sync_connector().execute_query_one("select to_regclass('procrastinate_jobs') as made")
    if found["made"] is None:
        app.schema_manager.apply_schema()


def enqueue(count: int) -> None:
    """One ``defer()`` a job."""
    for _ in range(count):
        noop.defer()


def bulk(count: int) -> None:
    """``batch_defer`` in batches."""
    for start in range(0, count, BATCH):
        noop.batch_defer(*[{}] * min(BATCH, count - start))


def worker_command() -> list[str]:
    """One worker process; it is started twice."""
    options = ["--concurrency", CONCURRENCY, "--delete-jobs", "successful"]
    return ["-m", "procrastinate", "--log-level", "warning", "--app", f"{__name__}.app", "worker", *options]
