"""How quick the history and the pages of the dashboard are at a million jobs, on both engines, against their bars.

    python -m benchmarks.history                          # an SQLite file and a private PostgreSQL: about five minutes
    python -m benchmarks.history postgresql://…           # one history only, which is made or used
    python -m benchmarks.history --jobs 100000 --seconds 10

Jobs are made by a seeded generator, straight into the tables; then each query is timed, ingest beside lists, and pages.
Times of a processor count what else the machine does for little; the others want one that is quiet.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import history_pages, history_start
from benchmarks.history_load import RATE, Beside, Spent, beside, most, server_seconds
from benchmarks.history_past import fill
from benchmarks.history_start import Start
from tests.servers import Postgres, Server
from umbel.history import History
from umbel.history.archives import archive_at
from umbel.settings import Settings

ROUNDS: Final = 20
COMPARED: Final = ("run>", "no such text", "q=zzz")
"""Filters that have no index: up to 100,000 jobs are compared."""
SETTINGS: Final = ("shared_buffers = 512MB", "max_wal_size = 4GB")
MOST_SECONDS: Final = 10.0
LIST_MS: Final = 100.0
ARGUMENT_MS: Final = 200.0
FIRST_MS: Final = 60.0
PAGE_MS: Final = 100.0
COMPARED_MS: Final = 200.0
START_SECONDS: Final = 1.5
PAINT_MS: Final = 300.0
LAG_SECONDS: Final = 1.0
GROWTH_MIB: Final = 10.0


class Query(NamedTuple):
    """Ms of one query: the least, the median, the 95th of a hundred, and of a processor here and in the server."""

    least: float
    median: float
    p95: float
    here: float
    server: float


class Found(NamedTuple):
    """All that was measured on one engine. *pages*: ms of a processor, and ms."""

    queries: dict[str, Query]
    spent: Spent
    beside: Beside
    pages: dict[str, tuple[float, float]]
    start: Start


def asked(history: History) -> Iterator[tuple[str, Callable[[], object]]]:
    """The queries of the design, by name."""
    top, now = history.jobs(limit=1), time.time()
    flow = f"flow{top.top // 200}"
    for text in ("", "state:failed", "state:failed since:1d", "task:task.7", "task:task.7 state:failed queue:queue.3",
                 "queue:queue.3 worker:worker.1", "error:Error7 since:2d", f"flow:{flow}", "since:3d until:2d",
                 "arg.user.id:77", "arg.lang:de", "arg.lang:de arg.user.id:77", "arg.lang:de state:failed",
                 "arg.lang:de,en,fr,es state:dead", "worker:worker.*", "run>5s", '"no such text"', "run>1h task:task.7",
                 " OR ".join(f'"no such text {number}"' for number in range(30))):  # fmt: skip
        yield f"jobs({text!r})", partial(history.jobs, text)
    yield "jobs, page 2", lambda: history.jobs(before=top.top - 50)
    for text in ("", "task:task.7", "arg.lang:de", "worker:worker.*", "error:*"):
        yield f"facets({text!r})", partial(history.facets, text)
    row = top.rows[0]
    yield "job", lambda: history.job(row.id)
    for name, hours in (("1 h", 1), ("24 h", 24), ("7 d", 168)):
        yield f"overview {name}", partial(history.series, now - hours * 3_600, now)
        yield f"percentiles {name}", partial(history.totals, now - hours * 3_600, now)
        yield f"busiest {name}", partial(history.busiest, now - hours * 3_600, now, 20)
        yield f"pulse {name}", partial(history.pulse, now - hours * 3_600, now)
        yield f"depths {name}", partial(history.depths, now - hours * 3_600, now)
        yield f"errors {name}", partial(history.errors, now - hours * 3_600, now)
    yield "error group", lambda: (history.error(7, now - 86_400, now), history.error_spread(7), history.error_sample(7))
    yield "tasks", history.tasks
    yield "queues", history.queues
    yield "flow", lambda: history.flow(flow)
    for text in ("state:failed", "state:succeeded", "arg.lang:de state:failed", "run>5s"):
        yield f"count({text!r})", partial(history.count, text)
    yield (
        "bulk step",
        lambda: history.envelopes([row.id for row in history.jobs("state:succeeded", limit=1_000, upto=top.top).rows]),
    )
    yield "standing", history.standing


def timed(history: History, url: str, only: str) -> dict[str, Query]:
    """How long each of the queries takes that have *only* in their names; told as it goes."""
    found: dict[str, Query] = {}
    print(f"{'query':45.45} {'least':>10} {'median':>10} {'p95':>10} {'cpu':>10} {'server':>10}")
    for name, query in (each for each in asked(history) if only in each[0]):
        times, spent, served = [], [], server_seconds(url)
        for _ in range(ROUNDS):
            begun, used = time.perf_counter(), time.process_time()
            query()
            times.append(1000 * (time.perf_counter() - begun))
            spent.append(1000 * (time.process_time() - used))
        served = 1000 * (server_seconds(url) - served) / ROUNDS
        shown = Query(min(times), statistics.median(times), sorted(times)[-2], statistics.median(spent), served)
        print(f"{name:45.45} " + " ".join(f"{each:7.1f} ms" for each in shown), flush=True)
        found[name] = shown
    return found


def measured(url: str, folder: Path, seconds: float, only: str) -> Found:
    """All there is to measure of the history at *url*, told as it goes."""
    history = History(archive_at(url, Settings()))
    queries = timed(history, url, only)
    pages = asyncio.run(history_pages.timed(history, folder))
    start = history_start.measured(url, folder)
    spent = most(history, url, min(seconds, MOST_SECONDS))
    print(f"\ningest: {spent.events:,.0f} events/s at most; each costs {spent.here:,.0f} us here, "
          f"{spent.server:,.0f} us in the server")  # fmt: skip
    found = Found(queries, spent, beside(history, url, seconds), pages, start)
    print(f"{RATE:,} events/s for {seconds:g} s: {found.beside}", flush=True)
    history.close()
    return found


def bars(found: Found) -> list[tuple[str, float, float, str]]:
    """What must be reached: in words, what was found, the bar, and its unit."""
    asked = {name: each for name, each in found.queries.items() if name.startswith("jobs(")}
    arguments = [each.p95 for name, each in asked.items() if name.startswith("jobs('arg")]
    lists = [each.p95 for name, each in asked.items() if not _is_compared(name)]
    compared = [each.here + each.server for name, each in asked.items() if _is_compared(name)]
    others = [used for page, (used, _) in found.pages.items() if page != history_pages.FIRST and not _is_compared(page)]
    growth = found.beside.after - found.beside.before
    return [
        (f"{RATE:,} events/s: behind, p99", found.beside.lag, LAG_SECONDS, "s"),
        ("lists meanwhile, p95", found.beside.page, LIST_MS, "ms"),
        ("argument search, p95", max(arguments, default=0.0), ARGUMENT_MS, "ms"),
        ("the slowest list by an index, p95", max(lists, default=0.0), LIST_MS, "ms"),
        ("a list that is compared, processor", max(compared, default=0.0), COMPARED_MS, "ms"),
        ("first page, processor of the dashboard", found.pages[history_pages.FIRST][0], FIRST_MS, "ms"),
        ("the slowest other page, the same", max(others), PAGE_MS, "ms"),
        ("the dashboard answers after its start", found.start.seconds, START_SECONDS, "s"),
        ("first paint in Chromium", found.start.paint, PAINT_MS, "ms"),
        ("memory of the recorder grows by", growth, GROWTH_MIB, "MiB"),
    ]


def compared(jobs: int, seconds: float) -> list[tuple[str, str, float, float, str]]:
    """Fill and measure both engines; answers what `bars` does, with the engine in front."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="umbel-history-")))
        urls = _both(stack, folder)
        _filled(urls, jobs)
        names = {"sqlite": "history on SQLite", "postgresql": "history on PostgreSQL"}
        found = {names[url.partition(":")[0]]: bars(measured(url, folder, seconds, "")) for url in urls}
    return [(where, *row) for where, rows in found.items() for row in rows]


def _is_compared(name: str) -> bool:
    return any(words in name for words in COMPARED)


def main() -> int:
    """Fill, measure and tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", nargs="?", default="")
    options.add_argument("--jobs", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=30.0, help="for how long 2,000 events a second are written")
    options.add_argument("--only", default="", metavar="TEXT", help="queries whose name has this in it")
    given = options.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="umbel-history-")))
        urls = [given.url] if given.url else _both(stack, folder)
        _filled(urls, given.jobs)
        missed = [missed for url in urls for missed in _told(url, folder, given.seconds, given.only)]
    return 1 if missed else 0


def _both(stack: ExitStack, folder: Path) -> list[str]:
    (folder / "server").mkdir()
    server = stack.enter_context(Server(Postgres(SETTINGS), folder / "server"))
    return [f"sqlite:///{folder}/history.db", server.url]


def _filled(urls: list[str], jobs: int) -> None:
    """Fill all at once, each by a process of its own."""
    context, start = multiprocessing.get_context("spawn"), time.monotonic()
    writers = [context.Process(target=fill, args=(url, jobs)) for url in urls]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        if writer.exitcode:
            raise SystemExit("the history could not be filled")
    print(f"filled with {jobs:,} jobs in {time.monotonic() - start:.0f} s", flush=True)


def _told(url: str, folder: Path, seconds: float, only: str) -> list[str]:
    """Measure *url*, and tell how that compares; answers the bars that were missed."""
    name = url.partition(":")[0]
    archive = archive_at(url, Settings())
    print(f"\n=== {name}, {archive.size() / 2**20:,.0f} MiB\n")
    archive.close()
    rows = bars(measured(url, folder, seconds, only))
    print(f"\n{name:45} {'found':>12} {'bar':>12}")
    for words, value, bar, unit in rows:
        print(f"{words:45} {value:9,.2f} {unit:>2} {bar:9,.2f} {unit:>2}{'' if value <= bar else '  MISSED'}")
    return [words for words, value, bar, _ in rows if value > bar]


if __name__ == "__main__":
    sys.exit(main())
