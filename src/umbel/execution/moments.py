"""Moments of jobs outside a run: received, refused, revoked before they began. As signals, for those who listen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, TypeAlias

from umbel.exceptions import DecodeError, NotRegistered
from umbel.execution.executor import AnyTask, Finished, Run
from umbel.execution.hooks import ExceptionInfo, failed, revoked
from umbel.model.failure import rebuild
from umbel.model.job import Delivery
from umbel.model.outcome import Failed, Outcome, Parked, Revoked
from umbel.request import Request
from umbel.signals import (
    Signal,
    task_failure,
    task_internal_error,
    task_received,
    task_rejected,
    task_revoked,
    task_unknown,
)
from umbel.task import Task
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, decode

Moment: TypeAlias = tuple[Signal, object, dict[str, Any]]
"""A signal, its sender and what it tells."""


class Moments:
    """The moments of the jobs of one worker, whose node name is the sender where no task is. From its loop."""

    def __init__(self, tasks: Mapping[str, AnyTask], worker: str) -> None:
        self._tasks = tasks
        self._worker = worker

    def received(self, run: Run) -> None:
        """Say that *run* was taken in."""
        task_received.post(self._worker, request=_request(run.task, run.delivery, run.envelope, self._worker))

    def not_begun(self, finished: Finished) -> None:
        """Say what became of a job that was received and not run."""
        moment = moment_of(finished, self._tasks, self._worker)
        if moment is not None:
            signal, sender, told = moment
            signal.post(sender, **told)

    def stumbled(self, finished: Finished, error: Exception) -> None:
        """Say that the worker itself cannot carry out what became of a job. In its loop, or in the thread of a task."""
        if not finished.task:
            return  # nobody could read it, so nobody can say whose it is
        request = _request_of(finished, self._tasks, self._worker)
        told = {**failed(request, error, ExceptionInfo(error)), "request": request}
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            task_internal_error.deliver(request.task_object, told)
        else:
            task_internal_error.post(request.task_object, **told)


def killed(run: Run, outcome: Outcome, worker: str) -> None:
    """Say that the process in which *run* ran was killed, if that is the end of the job; waits for the receivers."""
    moment = moment_of(Finished(run.delivery, outcome, run.task.name), {run.task.name: run.task}, worker)
    if moment is not None:
        signal, sender, told = moment
        signal.deliver(sender, told)


def moment_of(finished: Finished, tasks: Mapping[str, AnyTask], worker: str) -> Moment | None:
    """The signal for the end, or the parking, of a job that did not run; None if somebody else is told of it."""
    delivery, outcome = finished.delivery, finished.outcome
    match outcome:
        case Parked():
            error = NotRegistered(f"no task {outcome.task!r} is registered")
            return task_unknown, worker, {"message": delivery, "exc": error, "name": outcome.task, "id": delivery.id}
        case Failed() if not finished.task:
            return task_rejected, worker, {"message": delivery, "exc": rebuild(outcome.failure, {})}
        case Failed():
            request = _request_of(finished, tasks, worker)
            wrong = rebuild(outcome.failure, {})
            return task_failure, request.task_object, failed(request, wrong, ExceptionInfo(wrong))
        case Revoked():
            request = _request_of(finished, tasks, worker)
            expired, terminated = outcome.reason == "expired", outcome.reason == "terminated"
            return task_revoked, request.task_object, revoked(request, terminated=terminated, expired=expired)
        case _:
            return None


def _request_of(finished: Finished, tasks: Mapping[str, AnyTask], worker: str) -> Request:
    task: AnyTask | None = tasks.get(finished.task)
    if task is None:
        task = Task[..., Any]()
        task.name = finished.task
    return _request(task, finished.delivery, decode(finished.delivery.envelope, MAX_LINK_BYTES), worker)


def _request(task: AnyTask, delivery: Delivery, envelope: Envelope, worker: str) -> Request:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    if "arguments" in vars(task):
        with contextlib.suppress(DecodeError):  # the run will say so
            args, kwargs = task.arguments.decode(envelope.args, envelope.kwargs)
    return Request(task, delivery, envelope, args, kwargs, worker)
