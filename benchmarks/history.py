"""How quick the history is at a million jobs.

    python -m benchmarks.history                          # an SQLite file in a temporary folder
    python -m benchmarks.history postgresql://…           # a database whose schema umbel_history is made or used
    python -m benchmarks.history --jobs 100000 --ingest 30

Jobs are made by a seeded generator, straight into the tables; then each query is timed, and ingest beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import msgspec
import psutil

from umbel.contracts.history import Archive, Transaction
from umbel.history import History
from umbel.history.archives import archive_at
from umbel.history.arguments import hashed
from umbel.history.counters import Counters
from umbel.history.histogram import packed
from umbel.history.ingest import ZLIB_LEVEL
from umbel.history.names import Names, Naming
from umbel.history.states import CODES
from umbel.model.event import Batch, Event, Tally
from umbel.model.ids import new_id
from umbel.settings import Settings

TASKS: Final = 400
QUEUES: Final = 50
WORKERS: Final = 20
GROUPS: Final = 40
CHUNK: Final = 10_000
DAYS: Final = 7
ROUNDS: Final = 20
TEXT: Final = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore " * 4
STATES: Final = (
    ("succeeded",) * 960 + ("failed",) * 15 + ("dead",) * 5 + ("cancelled",) * 10 + ("running", "queued") * 5
)


class Generator:
    """Makes *jobs* jobs of the last seven days, the same ones for each *seed*."""

    def __init__(self, jobs: int, seed: int = 6) -> None:
        self._jobs = jobs
        self._chance = random.Random(seed)
        self._end = time.time()

    def fill(self, archive: Archive) -> None:
        """Write them into *archive*, which is empty."""
        names = archive.write(self._named)
        for start in range(0, self._jobs, CHUNK):
            archive.write(partial(self._chunk, names, start))
        archive.write(lambda transaction: self._figures(transaction, names))

    def _named(self, transaction: Transaction) -> dict[str, list[int]]:
        counters = Counters(transaction)
        naming = Naming(transaction, Names(), counters)
        found: dict[str, list[int]] = {}
        for sort, count in (("task", TASKS), ("queue", QUEUES), ("worker", WORKERS), ("path", 5)):
            words = [f"{sort}.{number}" for number in range(count)]
            if sort == "path":
                words = ["arg.user.id", "arg.lang", "arg.total", "args.0", "arg.text"]
            naming.prepare(sort, words)  # type: ignore[arg-type]
            found[sort] = [naming(sort, word) for word in words]  # type: ignore[arg-type]
        for number in counters.take("error", GROUPS):
            kind = f"shop.Error{number}"
            transaction.rows("ingest.error", number, f"print{number}", kind, "no <n>", "a.py:f", self._end)
        counters.save()
        return found

    def _chunk(self, names: dict[str, list[int]], start: int, transaction: Transaction) -> None:
        counters = Counters(transaction)
        count = min(CHUNK, self._jobs - start)
        seqs, changes = counters.take("seq", count), counters.take("change", count)
        rows, bodies, found = [], [], []
        minutes: dict[int, list[int]] = {}
        for seq, change in zip(seqs, changes, strict=True):
            sent = self._end - DAYS * 86_400 * (1 - seq / self._jobs)
            row, body, pairs = self._job(names, seq, change, sent)
            rows.append(row)
            bodies.append(body)
            found += [(path, value, seq) for path, value in pairs]
            minutes.setdefault(int(sent) // 60 * 60, []).append(seq)
        transaction.many("ingest.new_jobs", rows)
        transaction.many("ingest.new_bodies", bodies)
        transaction.many("ingest.new_args", sorted(found))
        for minute, each in minutes.items():
            transaction.rows("ingest.minute", minute, each[0], each[-1])
        counters.save()

    def _job(self, names: dict[str, list[int]], seq: int, change: int, sent: float) -> tuple[Any, Any, Any]:
        chance = self._chance
        state = chance.choice(STATES)
        user, lang, total = chance.randrange(100_000), chance.choice(("de", "en", "fr", "es")), chance.randrange(10_000)
        path = names["path"]
        pairs = [
            (path[0], hashed(user)), (path[1], hashed(lang)), (path[2], hashed(total)), (path[3], hashed(seq)),
            (path[4], hashed(f"text {chance.randrange(1_000)}")),
        ]  # fmt: skip
        ended, failed = state not in ("running", "queued"), state in ("failed", "dead")
        wait, run = chance.expovariate(5.0), chance.expovariate(2.0)
        row = (
            seq, new_id(), *(chance.choice(names[sort]) for sort in ("task", "queue", "worker")), 1, CODES[state],
            2 if ended else 0, 1, 9 if ended else 2, sent, 0, 0, sent, 1, None, None, sent + wait,
            sent + wait + run if ended else None, round(wait * 1000), round(run * 1000) if ended else None,
            chance.randrange(1, GROUPS) if failed else None, 1 if failed else -1,
            f"flow{seq // 100}" if seq % 20 == 0 else None, None, None, None, None, None, None,
            self._end, change, 0, None,
        )  # fmt: skip
        kwargs = f'{{"user":{{"id":{user}}},"lang":"{lang}","total":{total},"text":"{TEXT[:400]}"}}'
        envelope = zlib.compress(chance.randbytes(250), ZLIB_LEVEL)
        return row, (seq, 1, envelope, f"[{seq}]", kwargs, None, "null", msgspec.msgpack.encode(pairs)), pairs

    def _figures(self, transaction: Transaction, names: dict[str, list[int]]) -> None:
        histogram = packed(dict.fromkeys(range(20, 60), 5))
        for span, count in ((10, 360), (60, 1_440), (3_600, 168), (86_400, 8)):
            rows = [
                (span, task, 0, int(self._end) // span * span - span * back, 9, 8, 1, 0, 0, 0, histogram, histogram)
                for back in range(count)
                for task in (0, *names["task"][: 400 if span >= 3_600 else 20])
            ]
            transaction.many("ingest.put_rollups", rows)
        for back in range(1_440):
            for group in range(1, 10):
                minute = int(self._end) // 60 * 60 - 60 * back
                transaction.rows("ingest.error_minute", minute, group, 2)
                transaction.rows("ingest.error_hour", minute // 3_600 * 3_600, group, 2)
        for queue in names["queue"]:
            for back in range(360):
                bucket = int(self._end) // 10 * 10 - 10 * back
                transaction.rows("ingest.queue_sample", queue, bucket, back, 1, 1, 0, 0, 0, 500, 0)


def timed(history: History) -> Iterator[tuple[str, Callable[[], object]]]:
    """The queries of the design, by number."""
    top, now = history.jobs(limit=1), time.time()
    for text in ("", "state:failed", "state:failed since:1d", "task:task.7", "task:task.7 state:failed queue:queue.3",
                 "queue:queue.3 worker:worker.1", "error:Error7 since:2d", "flow:flow8000", "since:3d until:2d",
                 "arg.user.id:77", "arg.lang:de", "arg.lang:de arg.user.id:77", "arg.lang:de state:failed",
                 "run>5s", '"no such text"', "run>1h task:task.7"):  # fmt: skip
        yield f"jobs({text!r})", partial(history.jobs, text)
    yield "jobs, page 2", lambda: history.jobs(before=top.top - 50)
    for text in ("", "task:task.7", "arg.lang:de"):
        yield f"facets({text!r})", partial(history.facets, text)
    row = top.rows[0]
    yield "job", lambda: history.job(row.id)
    for name, hours in (("1 h", 1), ("24 h", 24), ("7 d", 168)):
        yield f"overview {name}", partial(history.series, now - hours * 3_600, now)
    for name, hours in (("1 h", 1), ("24 h", 24), ("7 d", 168)):
        yield f"percentiles {name}", partial(history.totals, now - hours * 3_600, now)
        yield f"pulse {name}", partial(history.pulse, now - hours * 3_600, now)
        yield f"depths {name}", partial(history.depths, now - hours * 3_600, now)
        yield f"errors {name}", partial(history.errors, now - hours * 3_600, now)
    yield "error group", lambda: (history.error(7, now - 86_400, now), history.error_spread(7), history.error_sample(7))
    yield "tasks", history.tasks
    yield "queues", history.queues
    yield "flow", lambda: history.flow("flow8000")
    for text in ("state:failed", "state:succeeded", "arg.lang:de state:failed", "run>5s"):
        yield f"count({text!r})", partial(history.count, text)
    yield (
        "bulk step",
        lambda: history.envelopes([row.id for row in history.jobs("state:succeeded", limit=1_000, upto=top.top).rows]),
    )
    yield "standing", history.standing
    yield "changes", lambda: history.changes(top.change - 100)


class Sender:
    """Makes what a producer and a worker tell: jobs of two events each, of all tasks."""

    def __init__(self) -> None:
        self._chance = random.Random(7)
        self._source = new_id()
        self._number = 0

    def batches(self, jobs: int) -> list[Batch]:
        """What is told of so many more *jobs*."""
        self._number += 1
        chance, now = self._chance, time.time()
        ids = [new_id() for _ in range(jobs)]
        kwargs = [f'{{"user":{{"id":{chance.randrange(100_000)}}},"lang":"de","text":"{TEXT[:300]}"}}' for _ in ids]
        envelope = TEXT.encode()[:400]
        task = [f"task.{chance.randrange(TASKS)}" for _ in ids]
        sent = [Event("task-sent", now, each, task[n], "queue.1", 0, {"args": f"[{n}]", "kwargs": kwargs[n]}, envelope)
                for n, each in enumerate(ids)]  # fmt: skip
        done = [Event("task-succeeded", now, each, task[n], "queue.1", 1, {"run": 0.1, "wait": 0.2, "result": "1"})
                for n, each in enumerate(ids)]  # fmt: skip
        tallies = tuple(Tally(each, "queue.1", now, 1, 1, waits={30: 1}, runs={26: 1}) for each in task[:50])
        return [
            Batch(self._source, self._number, now, tuple(sent), tallies),
            Batch(f"{self._source}w", self._number, now, tuple(done), worker="w"),
        ]


def ingest(history: History, seconds: float) -> float:
    """Events a second that are written at most, for so many *seconds*."""
    sender, written, start = Sender(), 0, time.monotonic()
    while time.monotonic() < start + seconds:
        written += history.ingest(sender.batches(250)).events
    return written / (time.monotonic() - start)


def steadily(url: str, seconds: float, answers: Any) -> None:
    """Write 2,000 events a second, as a recorder in a process of its own; answers lags in seconds, and memory."""
    history, sender, lags = History(archive_at(url, Settings())), Sender(), []
    history.ingest(sender.batches(250))
    memory, start = psutil.Process().memory_info().rss, time.monotonic()
    for step in range(int(4 * seconds)):
        due = start + step / 4
        time.sleep(max(0.0, due - time.monotonic()))
        history.ingest(sender.batches(250))
        lags.append(time.monotonic() - due)
    answers.put((lags, memory, psutil.Process().memory_info().rss))


def beside(history: History, url: str, seconds: float) -> None:
    """Tell how long lists take while a recorder writes 2,000 events a second, and how far it falls behind."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    recorder = context.Process(target=steadily, args=(url, seconds, answers))
    recorder.start()
    queries = [partial(history.jobs, text) for text in ("", "state:failed since:1d", "task:task.7", "arg.user.id:77")]
    times: list[float] = []
    while answers.empty():
        for query in queries:
            begun = time.perf_counter()
            query()
            times.append(1000 * (time.perf_counter() - begun))
        time.sleep(0.05)
    lags, before, after = answers.get()
    recorder.join()
    lag, page = sorted(lags)[int(0.99 * len(lags))], sorted(times)[int(0.95 * len(times))]
    print(f"2,000 events/s for {seconds:g} s: lag {1000 * lag:,.0f} ms (p99), lists {page:,.1f} ms (p95)")
    print(f"memory of the recorder: {before / 2**20:,.0f} MiB, then {after / 2**20:,.0f} MiB")


def main() -> None:
    """Fill, measure and tell."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", nargs="?", default="")
    options.add_argument("--jobs", type=int, default=1_000_000)
    options.add_argument("--ingest", type=float, default=10.0, metavar="SECONDS")
    options.add_argument("--only", default="", metavar="TEXT", help="queries whose name has this in it")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="umbel-history-") as folder:
        url = given.url or f"sqlite:///{folder}/history.db"
        archive = archive_at(url, Settings())
        history = History(archive)
        start = time.monotonic()
        archive.write(lambda _: None)
        if history.standing().seq < given.jobs:
            Generator(given.jobs).fill(archive)
        print(f"filled with {given.jobs:,} jobs in {time.monotonic() - start:.0f} s, {archive.size() / 2**20:,.0f} MiB")
        print(f"{'query':45} {'least':>10} {'median':>10} {'p95':>10} {'cpu':>10}")
        for name, query in (each for each in timed(history) if given.only in each[0]):
            times, spent = [], []
            for _ in range(ROUNDS):
                begun, used = time.perf_counter(), time.process_time()
                query()
                times.append(1000 * (time.perf_counter() - begun))
                spent.append(1000 * (time.process_time() - used))
            shown = (min(times), statistics.median(times), sorted(times)[-2], statistics.median(spent))
            print(f"{name:45} " + " ".join(f"{each:7.1f} ms" for each in shown), flush=True)
        if given.ingest > 0:
            print(f"ingest: {ingest(history, given.ingest):,.0f} events/s at most")
            beside(history, url, given.ingest)
        history.close()


if __name__ == "__main__":
    main()
