"""Restarts: workers are told to stop, one each second, under load; no job may be lost, doubled or charged.

``python -m tests.system.restarts redis --restarts 500``; also ``postgres``. It takes as many seconds and is no part of
``make test``. The server is a private one; the exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec

from tests.servers import Postgres, Redis, Server, Service
from tests.system.harness import Worker, Workers
from umbel import AsyncResult, Umbel
from umbel.exceptions import UmbelError

WORKERS = 3
THREADS = 8
BACKLOG = 30
SHORTEST, LONGEST = 0.1, 5.0
DRAIN_SECONDS = 120.0


class Verdict(msgspec.Struct):
    """What became of the jobs."""

    sent: int
    lost: int
    doubled: int
    charged: int
    restarts: int
    ungraceful: int
    slowest_stop: float
    seconds: float


class Fleet:
    """Workers of which one is replaced after the other."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.place: dict[str, Any] = {"UMBEL_TEST_BROKER": url, "UMBEL_TEST_LEDGER": str(folder / "ledger")}
        self.workers = Workers(folder)
        self.living = [self._start().wait_ready(60) for _ in range(WORKERS)]
        self.leaving: list[tuple[Worker, float]] = []
        self.codes: Counter[int] = Counter()
        self.slowest = 0.0

    def _start(self) -> Worker:
        words = ("--processes=1", f"--threads={THREADS}", "-n", f"w{time.monotonic_ns()}@here")
        return self.workers.start(*words, app="restarted_tasks", **self.place)

    def replace_one(self) -> None:
        """Tell the oldest worker to stop, when it has begun to work, and start another one."""
        worker = self.living.pop(0).wait_ready(60)
        worker.signal(15)
        self.leaving.append((worker, time.monotonic()))
        self.living.append(self._start())

    def collect(self) -> None:
        """Note how those ended that were told to stop."""
        for worker, since in list(self.leaving):
            if not worker.running():
                self.codes[worker.wait()] += 1
                self.slowest = max(self.slowest, time.monotonic() - since)
                self.leaving.remove((worker, since))


def run(url: str, folder: Path, restarts: int) -> Verdict:
    """Restart workers of the broker at *url* so often, and count."""
    began, chance = time.monotonic(), random.Random(5)
    app = Umbel("restarted_tasks", broker=url, set_as_current=False)
    fleet = Fleet(url, folder)
    sent: list[AsyncResult[None]] = []
    try:
        for number in range(restarts):
            waiting = len(sent) - len(_lines(folder, "S"))
            more = [chance.uniform(SHORTEST, LONGEST) for _ in range(max(0, BACKLOG - waiting))]
            sent += [app.send_task("restarted_tasks.work", (seconds,)) for seconds in more]
            fleet.replace_one()
            fleet.collect()
            time.sleep(max(0.0, began + number + 1 - time.monotonic()))
        lost = _lost(sent)
        for worker in fleet.living:
            worker.signal(15)
            worker.wait(60)
        fleet.collect()
    finally:
        fleet.workers.end()
        app.close()
    return _verdict(sent, lost, folder, fleet, time.monotonic() - began)


def _verdict(sent: list[AsyncResult[None]], lost: int, folder: Path, fleet: Fleet, seconds: float) -> Verdict:
    starts = _lines(folder, "S")
    times = Counter(line[1] for line in starts)
    return Verdict(
        sent=len(sent),
        lost=lost,
        doubled=sum(count > 1 for count in times.values()),
        charged=sum(line[2:] != ["0", "0"] for line in starts),
        restarts=sum(fleet.codes.values()),
        ungraceful=sum(count for code, count in fleet.codes.items() if code),
        slowest_stop=fleet.slowest,
        seconds=seconds,
    )


def _lines(folder: Path, phase: str) -> list[list[str]]:
    path = folder / "ledger"
    found = path.read_text().splitlines() if path.exists() else []
    return [line.split() for line in found if line.startswith(phase)]


def _lost(sent: list[AsyncResult[None]]) -> int:
    deadline, lost = time.monotonic() + DRAIN_SECONDS, 0
    for result in sent:
        try:
            result.get(timeout=max(0.1, deadline - time.monotonic()))
        except UmbelError:
            lost += 1
    return lost


def main() -> int:
    """Run, print the verdict as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("redis", "postgres"))
    parser.add_argument("--restarts", type=int, default=500)
    given = parser.parse_args()
    service: Service = Redis(appendonly="everysec") if given.engine == "redis" else Postgres()
    with tempfile.TemporaryDirectory() as folder, Server(service, Path(mkdtemp(prefix="umbel-"))) as server:
        verdict = run(server.url, Path(folder), given.restarts)
    sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")
    return int(bool(verdict.lost or verdict.doubled or verdict.charged or verdict.ungraceful))


if __name__ == "__main__":
    sys.exit(main())
