"""Run a job here and now, through the real codec and the real executor: what `apply` and eager mode do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from umbel.exceptions import SoftTimeLimitExceeded, Terminated
from umbel.execution.executor import Executor, Finished, Run
from umbel.execution.interruption import LoopWindow, ThreadWindow, Why, meant, struck
from umbel.execution.limits import Limits, Terms
from umbel.execution.verdict import result_of
from umbel.model.job import Counts, Delivery, Job
from umbel.model.outcome import Failed, Outcome, Result, Retried
from umbel.task import Task
from umbel.to_end import to_end
from umbel.wire.envelope import MAX_LINK_BYTES, decode

AnyTask: TypeAlias = Task[..., Any]


def run_eager(
    task: AnyTask,
    job: Job,
    hostname: str,
    task_named: Callable[[str], AnyTask],
    usual: Limits = Limits(),  # noqa: B008
) -> Result:
    """Run *job* of *task* in this process and answer its terminal result; retries follow at once, without waiting.

    So do its callbacks or errbacks; *task_named* finds their tasks. An `async def` task runs in a loop of its own, in a
    thread of its own if this thread has a running loop. At its limits, of which *usual* are those of tasks that name
    none, a run is told to end; one that does not listen goes on, for nobody can kill this process. Raises
    `KeyboardInterrupt`, which here means the caller.
    """
    finished = _finished(task, job, hostname, usual)
    for each in finished.follow_ups:
        run_eager(task_named(decode(each.envelope, MAX_LINK_BYTES).task), each, hostname, task_named, usual)
    return result_of(finished, hostname, time.time())


def _finished(task: AnyTask, job: Job, hostname: str, usual: Limits) -> Finished:
    executor = Executor({task.name: task}, hostname)
    executor.terms = Terms(usual)
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
    limits = executor.terms.of(run.envelope, run.task)
    if run.task.is_async:
        return to_end(executor.arun(run) if limits is None else _alimited(executor, run, limits))
    return executor.run(run) if limits is None else _limited(executor, run, limits)


def _limited(executor: Executor, run: Run, limits: Limits) -> Outcome:
    """Run it in this thread; another one watches the clock."""
    window, over = ThreadWindow(), threading.Event()
    window.begin(run.delivery.id, limits)
    threading.Thread(target=_watch, args=(window, limits, over), name="umbel-limits", daemon=True).start()
    try:
        return executor.run(run, window)
    except (SoftTimeLimitExceeded, Terminated) as error:  # the second one, while the first one was dealt with
        return struck(meant(window, error))
    finally:
        over.set()


def _watch(window: ThreadWindow, limits: Limits, over: threading.Event) -> None:
    began = time.monotonic()
    for why, seconds in _moments(limits):
        if over.wait(max(0.0, began + seconds - time.monotonic())):
            return
        window.interrupt(window.job, why)


async def _alimited(executor: Executor, run: Run, limits: Limits) -> Outcome:
    window, loop = LoopWindow(run.delivery.id), asyncio.get_running_loop()
    window.soft, window.hard = limits
    window.task = asyncio.current_task()
    timers = [loop.call_later(seconds, window.interrupt, window.job, why) for why, seconds in _moments(limits)]
    try:
        return await executor.arun(run, window)
    finally:
        for timer in timers:
            timer.cancel()


def _moments(limits: Limits) -> list[tuple[Why, float]]:
    found: list[tuple[Why, float | None]] = [("soft", limits.soft), ("timeout", limits.hard)]
    return [(why, seconds) for why, seconds in found if seconds is not None]
