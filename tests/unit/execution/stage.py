"""One app, one executor, and deliveries made of what a call would send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from umbel import Task, Umbel
from umbel.execution.executor import Executor, Finished, Run
from umbel.model.job import FIRST, Counts, Delivery, Job
from umbel.model.outcome import Outcome

NOW = 1_800_000_000.0
HOST = "worker@test"


class Sent:
    """Stands for a broker: keeps what is sent."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def send(self, jobs: Sequence[Job]) -> None:
        """Keep *jobs*."""
        self.jobs += jobs

    def close(self) -> None:
        """Nothing to give back."""


class Stage:
    """What a child does with one delivery, without a broker."""

    def __init__(self, **options: Any) -> None:
        self.sent = Sent()
        self.app = Umbel("stage", broker=self.sent, backend=self.sent, set_as_current=False)  # type: ignore[arg-type]
        self.executor = Executor(self.app.tasks, HOST, **options)

    def delivery(self, task: Task[..., Any], *args: Any, counts: Counts = FIRST, **options: Any) -> Delivery:
        """The delivery of one call of *task*."""
        task.apply_async(args, **options)
        job = self.sent.jobs.pop()
        return Delivery(job.id, job.queue, job.level, 1, job.envelope, counts, returned=counts != FIRST)

    def prepared(self, task: Task[..., Any], *args: Any, **options: Any) -> Run:
        """A call of *task*, ready to be run."""
        prepared = self.executor.prepare(self.delivery(task, *args, **options), NOW)
        assert isinstance(prepared, Run)
        return prepared

    def refused(self, delivery: Delivery) -> Finished:
        """What becomes of a delivery that may not be run."""
        prepared = self.executor.prepare(delivery, NOW)
        assert isinstance(prepared, Finished)
        return prepared

    def run(self, task: Task[..., Any], *args: Any, **options: Any) -> Outcome:
        """The outcome of one call of *task*."""
        return self.outcome(self.prepared(task, *args, **options))

    def outcome(self, run: Run) -> Outcome:
        """The outcome of *run*."""
        return asyncio.run(self.executor.arun(run)) if run.task.is_async else self.executor.run(run)

    def task(self, function: Callable[..., Any], *, asynchronous: bool, **options: Any) -> Task[..., Any]:
        """A task of *function*; if *asynchronous* its `async def` twin."""

        async def twin(*args: Any) -> Any:
            return function(*args)

        twin.__name__ = function.__name__
        made: Task[..., Any] = self.app.task(name=function.__name__, typing=False, **options)(
            twin if asynchronous else function
        )
        return made
