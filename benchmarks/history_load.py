"""Events for the history, as producers and workers tell them: as many as it can write, or 2,000 a second."""

from __future__ import annotations

import multiprocessing
import random
import time
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import psutil
import psycopg

from benchmarks.history_past import POSTGRESQL, TASKS, TEXT
from umbel.history import History
from umbel.history.archives import archive_at
from umbel.model.event import Batch, Event, Tally
from umbel.model.ids import new_id
from umbel.settings import Settings

RATE: Final = 2_000
STEP_SECONDS: Final = 0.25
JOBS: Final = 250
"""Of one transaction: each tells twice, when it is sent and when it ends, half of them in the same transaction."""
MEBIBYTE: Final = 2**20


class Spent(NamedTuple):
    """What it costs to write: *events* a second at most; us of a processor for each, *here* and in the *server*."""

    events: float
    here: float
    server: float


class Beside(NamedTuple):
    """How 2,000 events a second go beside lists: seconds behind (p99), ms for a list (p95), MiB half way and after."""

    lag: float
    page: float
    before: float
    after: float


class Sender:
    """Makes what a producer and a worker tell: jobs of two events each, of all tasks."""

    def __init__(self) -> None:
        self._chance = random.Random(7)
        self._source = new_id()
        self._number = 0
        self._running: list[Event] = []

    def batches(self, jobs: int) -> list[Batch]:
        """What is told of so many more *jobs*, and the end of half of those before them."""
        self._number += 1
        chance, now = self._chance, time.time()
        ids = [new_id() for _ in range(jobs)]
        kwargs = [f'{{"user":{{"id":{chance.randrange(100_000)}}},"lang":"de","text":"{TEXT[:300]}"}}' for _ in ids]
        envelope = TEXT.encode()[:400]
        task = [f"task.{chance.randrange(TASKS)}" for _ in ids]
        sent = [Event("task-sent", now, each, task[n], "queue.1", 0, {"args": f"[{n}]", "kwargs": kwargs[n]}, envelope)
                for n, each in enumerate(ids)]  # fmt: skip
        ends = [Event("task-succeeded", now, each, task[n], "queue.1", 1, {"run": 0.1, "wait": 0.2, "result": "1"})
                for n, each in enumerate(ids)]  # fmt: skip
        done, self._running = [*ends[::2], *self._running], ends[1::2]
        tallies = tuple(Tally(each, "queue.1", now, 1, 1, waits={30: 1}, runs={26: 1}) for each in task[:50])
        return [
            Batch(self._source, self._number, now, tuple(sent), tallies),
            Batch(f"{self._source}w", self._number, now, tuple(done), worker="w"),
        ]


def most(history: History, url: str, seconds: float) -> Spent:
    """Write as much as it can for so many *seconds*."""
    sender, written, took = Sender(), 0, 0.0
    used, served = 0.0, server_seconds(url)
    while took < seconds:
        told = [sender.batches(JOBS) for _ in range(20)]
        start, begun = time.monotonic(), time.process_time()
        written += sum(history.ingest(each).events for each in told)
        took += time.monotonic() - start
        used += time.process_time() - begun
    served = server_seconds(url) - served
    return Spent(written / took, 1e6 * used / written, 1e6 * served / written)


def server_seconds(url: str) -> float:
    """How long all processes of the server at *url* have used a processor, autovacuum and the like included."""
    if not url.startswith(POSTGRESQL):
        return 0.0
    with psycopg.connect(url) as line:
        pids = [int(pid) for (pid,) in line.execute("select pid from pg_stat_activity")]
    postmaster = psutil.Process(pids[0]).parent()
    found = 0.0
    for each in [] if postmaster is None else [postmaster, *postmaster.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # the postmaster has the times of those that have ended
            times = each.cpu_times()
            found += times.user + times.system
            found += times.children_user + times.children_system if each == postmaster else 0.0
    return found


def beside(history: History, url: str, seconds: float) -> Beside:
    """Ask for lists while a recorder writes 2,000 events a second for so many *seconds*."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    recorder = context.Process(target=_steadily, args=(url, seconds, answers))
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
    return Beside(lag, page, before / MEBIBYTE, after / MEBIBYTE)


def _steadily(url: str, seconds: float, answers: Any) -> None:
    """Write 2,000 events a second, as a recorder in a process of its own; answers lags in seconds, and memory."""
    history, sender, lags = History(archive_at(url, Settings())), Sender(), []
    history.ingest(sender.batches(JOBS))
    memory, start, steps = 0, time.monotonic(), int(seconds / STEP_SECONDS)
    for step in range(steps):
        if step == steps // 2:  # by then the cache of SQLite, of 64 MiB, is full
            memory = psutil.Process().memory_info().rss
        due = start + step * STEP_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        history.ingest(sender.batches(JOBS))
        lags.append(time.monotonic() - due)
    answers.put((lags, memory, psutil.Process().memory_info().rss))
