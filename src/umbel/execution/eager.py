"""Run a job here and now, through the real codec and the real executor: what `apply` and eager mode do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.verdict import result_of
from umbel.model.job import Counts, Delivery, Job
from umbel.model.outcome import Failed, Outcome, Result, Retried
from umbel.task import Task
from umbel.to_end import to_end
from umbel.wire.envelope import MAX_LINK_BYTES, decode

AnyTask: TypeAlias = Task[..., Any]


def run_eager(task: AnyTask, job: Job, hostname: str, task_named: Callable[[str], AnyTask]) -> Result:
    """Run *job* of *task* in this process and answer its terminal result; retries follow at once, without waiting.

    So do its callbacks or errbacks; *task_named* finds their tasks. An `async def` task runs in a loop of its own, in a
    thread of its own if this thread has a running loop. Raises `KeyboardInterrupt`, which here means the caller.
    """
    finished = _finished(task, job, hostname)
    for each in finished.follow_ups:
        run_eager(task_named(decode(each.envelope, MAX_LINK_BYTES).task), each, hostname, task_named)
    return result_of(finished, hostname, time.time())


def _finished(task: AnyTask, job: Job, hostname: str) -> Finished:
    executor = Executor({task.name: task}, hostname)
    executor.abandon()  # who cancels it is the caller
    delivery = Delivery(job.id, job.queue, job.level, 0, job.envelope)
    while True:
        prepared = executor.prepare(delivery, time.time())
        if isinstance(prepared, Finished):
            return prepared
        outcome = _outcome(executor, prepared)
        if isinstance(outcome, Failed) and outcome.failure.type == KeyboardInterrupt.__name__:
            raise KeyboardInterrupt
        if not isinstance(outcome, Retried):
            return executor.finished(prepared, outcome)
        delivery = msgspec.structs.replace(
            delivery,
            envelope=outcome.envelope or delivery.envelope,
            counts=Counts(retries=delivery.counts.retries + int(outcome.charged)),
        )


def _outcome(executor: Executor, run: Run) -> Outcome:
    return to_end(executor.arun(run)) if run.task.is_async else executor.run(run)
