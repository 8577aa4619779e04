"""A stage for system tests: one broker, one ledger, and real workers between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import psutil

from tests.system.harness import DEADLINE_SECONDS, Worker, Workers, eventually
from tests.system.ledger import Ledger
from umbel import AsyncResult, GroupResult, Umbel
from umbel.contracts.powers import Inspector, QueueCounts


class Stage:
    """One broker, one ledger, and workers between them."""

    def __init__(self, url: str, folder: Path, backend: str = "") -> None:
        self.url = url
        self.backend = backend or url
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        self.workers = Workers(folder)
        self.app = Umbel("ledger_tasks", broker=url, backend=self.backend)
        self.app.conf.broker_send_deadline = DEADLINE_SECONDS
        self._work = self.app.task(name="ledger_tasks.work")(_work)

    def start(self, *words: str, **place: Any) -> Worker:
        """A worker with two children of one thread each, unless *words* say otherwise."""
        place |= {"UMBEL_TEST_BROKER": self.url, "UMBEL_TEST_LEDGER": str(self.ledger.path)}
        place |= {"UMBEL_TEST_BACKEND": self.backend}
        return self.workers.start("--processes=2", "--threads=1", *words, **place)

    def end(self) -> None:
        """End all workers and give back what the app holds."""
        self.workers.end()
        self.app.close()

    def send(self, task: str, *args: object) -> AsyncResult[Any]:
        """Send one job of ``ledger_tasks``."""
        return self.app.send_task(f"ledger_tasks.{task}", args=args, kwargs={})

    def work_many(self, seconds: Sequence[float]) -> list[AsyncResult[int]]:
        """Send a job ``work`` for each of *seconds*, in one batch."""
        return self._work.delay_many([(each,) for each in seconds])

    def wait_started(self, *results: AsyncResult[Any], times: int = 1, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until each of those jobs has started *times* times."""
        what = "the jobs have started"
        eventually(lambda: all(self.ledger.starts()[each.id] >= times for each in results), what, seconds)

    def wait_succeeded(self, results: Iterable[AsyncResult[Any]], seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until each of *results* is there; raises what a job raised, and `TimeoutError` for one that is lost."""
        GroupResult(None, list(results), self.app).get(timeout=seconds)

    def counts(self) -> QueueCounts:
        """What the broker holds."""

        async def count() -> QueueCounts:
            inspector = cast("Inspector", self.app.broker)
            try:
                return (await inspector.counts(["default"]))[0]
            finally:
                await self.app.broker.aclose()

        return asyncio.run(count())

    def runner(self, worker: Worker, result: AsyncResult[Any]) -> psutil.Process:
        """The child that has started the job last."""
        pid = [line.pid for line in self.ledger.lines() if line.job == result.id][-1]
        (found,) = [child for child in worker.children() if child.pid == pid]
        return found


def _work(seconds: float) -> int:
    """Stands for the task of ``projects/ledger_tasks.py``, which runs in the workers only."""
    raise NotImplementedError(seconds)
