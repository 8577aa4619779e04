"""What is called around the body of a task, in Celery's order: the hooks of its class, the receivers of signals."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, TypeAlias

from umbel.exceptions import Reject, Retry
from umbel.model.failure import traceback_of
from umbel.model.outcome import Completed, Failed, Outcome, Retried, Revoked
from umbel.request import Request
from umbel.signals import Signal, task_failure, task_postrun, task_prerun, task_retry, task_revoked, task_success
from umbel.states import FAILURE, IGNORED, REJECTED, RETRY, REVOKED, SUCCESS
from umbel.task import Task
from umbel.to_end import to_end

_logger = logging.getLogger("umbel.worker")
AnyTask: TypeAlias = Task[..., Any]
_Step: TypeAlias = tuple[str, Signal | Callable[..., Any], Any]
"""A hook with its arguments, or a signal with what it tells by name."""


class ExceptionInfo:
    """What Celery's hooks get as *einfo*: the exception, its type, its traceback as text, and all three."""

    def __init__(self, exception: BaseException) -> None:
        """Take everything from *exception* while its traceback is alive."""
        self.exception = exception
        self.type: type[BaseException] = type(exception)
        self.traceback = traceback_of(exception)
        self.exc_info: tuple[type[BaseException], BaseException, TracebackType | None] = (
            self.type,
            exception,
            exception.__traceback__,
        )

    def __str__(self) -> str:
        """The traceback as text."""
        return self.traceback


def call(hook: Callable[..., Any], *arguments: object) -> None:
    """Call a hook of a `def` task; a coroutine is run to its end. Raises what the hook raises."""
    answer = hook(*arguments)
    if inspect.iscoroutine(answer):
        to_end(answer)


async def acall(hook: Callable[..., Any], *arguments: object) -> None:
    """Call a hook of an `async def` task and await it if it asks for that. Raises what the hook raises."""
    answer = hook(*arguments)
    if isinstance(answer, Awaitable):
        await answer


def before(task: AnyTask, request: Request) -> None:
    """Say that the run begins, then call `before_start`. Raises what that raises."""
    if task_prerun.receivers:
        task_prerun.deliver(task, _who(task, request))
    if "before_start" in task.hooks:
        call(task.before_start, request.id, request.args, request.kwargs)


async def abefore(task: AnyTask, request: Request) -> None:
    """The async twin of `before`."""
    if task_prerun.receivers:
        await task_prerun.adeliver(task, _who(task, request))
    if "before_start" in task.hooks:
        await acall(task.before_start, request.id, request.args, request.kwargs)


def after_success(task: AnyTask, request: Request, value: object, outcome: Outcome) -> None:
    """Call hooks and receivers of a run that returned *value*; their errors are logged and change nothing."""
    _call_all(request, _on_success(task, request, value, outcome))


def after_error(task: AnyTask, request: Request, outcome: Outcome, error: BaseException) -> None:
    """Call hooks and receivers of a run that raised *error*; their errors are logged and change nothing."""
    _call_all(request, _on_error(task, request, outcome, error))


async def aafter_success(task: AnyTask, request: Request, value: object, outcome: Outcome) -> None:
    """The async twin of `after_success`."""
    await _acall_all(request, _on_success(task, request, value, outcome))


async def aafter_error(task: AnyTask, request: Request, outcome: Outcome, error: BaseException) -> None:
    """The async twin of `after_error`."""
    await _acall_all(request, _on_error(task, request, outcome, error))


def _call_all(request: Request, steps: Iterator[_Step]) -> None:
    for name, told, given in steps:
        try:
            if isinstance(told, Signal):
                told.deliver(request.task_object, given)
            else:
                call(told, *given)
        except BaseException:
            _logger.exception("%s of task %s[%s] failed", name, request.task, request.id)


async def _acall_all(request: Request, steps: Iterator[_Step]) -> None:
    for name, told, given in steps:
        try:
            if isinstance(told, Signal):
                await told.adeliver(request.task_object, given)
            else:
                await acall(told, *given)
        except BaseException:
            _logger.exception("%s of task %s[%s] failed", name, request.task, request.id)


def _on_success(task: AnyTask, request: Request, value: object, outcome: Outcome) -> Iterator[_Step]:
    where = (request.id, request.args, request.kwargs)
    if "on_success" in task.hooks:
        yield "on_success", task.on_success, (value, *where)
    if task_success.receivers:
        yield "task_success", task_success, {"result": value, "runtime": getattr(outcome, "run", 0.0)}
    if "after_return" in task.hooks:
        yield "after_return", task.after_return, (SUCCESS, value, *where, None)
    if task_postrun.receivers:
        yield "task_postrun", task_postrun, {**_who(task, request), "retval": value, "state": SUCCESS}


def _on_error(task: AnyTask, request: Request, outcome: Outcome, error: BaseException) -> Iterator[_Step]:
    match outcome:
        case Failed():
            yield from _on_failure(task, request, error)
        case Retried() if outcome.charged:
            yield from _on_retry(task, request, outcome, error)
        case Revoked() if task_revoked.receivers:
            yield "task_revoked", task_revoked, revoked(request, terminated=True)
        case _:
            pass
    if task_postrun.receivers:
        state = _state(outcome, error)
        yield "task_postrun", task_postrun, {**_who(task, request), "retval": error, "state": state}


def _on_failure(task: AnyTask, request: Request, error: BaseException) -> Iterator[_Step]:
    info = ExceptionInfo(error)
    where = (request.id, request.args, request.kwargs)
    if "on_failure" in task.hooks:
        yield "on_failure", task.on_failure, (error, *where, info)
    if task_failure.receivers:
        yield "task_failure", task_failure, failed(request, error, info)
    # Celery does not call it for RETRY, IGNORED and REJECTED.
    if "after_return" in task.hooks:
        yield "after_return", task.after_return, (FAILURE, error, *where, info)


def _on_retry(task: AnyTask, request: Request, outcome: Retried, error: BaseException) -> Iterator[_Step]:
    if not task_retry.receivers and "on_retry" not in task.hooks:
        return
    cause = getattr(error, "exc", None) or error
    info = ExceptionInfo(cause)
    if "on_retry" in task.hooks:
        yield "on_retry", task.on_retry, (cause, request.id, request.args, request.kwargs, info)
    reason = error if isinstance(error, Retry) else Retry(None, error, outcome.delay)
    if task_retry.receivers:
        yield "task_retry", task_retry, {"request": request, "reason": reason, "einfo": info}


def _who(task: AnyTask, request: Request) -> dict[str, Any]:
    return {"task_id": request.id, "task": task, "args": request.args, "kwargs": request.kwargs}


def failed(request: Request, error: BaseException, info: ExceptionInfo) -> dict[str, Any]:
    """What receivers of task_failure are told."""
    return {
        "task_id": request.id,
        "exception": error,
        "args": request.args,
        "kwargs": request.kwargs,
        "traceback": error.__traceback__,
        "einfo": info,
    }


def revoked(request: Request, *, terminated: bool = False, expired: bool = False) -> dict[str, Any]:
    """What receivers of task_revoked are told."""
    return {"request": request, "terminated": terminated, "signum": None, "expired": expired}


def _state(outcome: Outcome, error: BaseException) -> str:
    match outcome:
        case Failed():
            return FAILURE
        case Retried() if outcome.charged:
            return RETRY
        case Revoked():
            return REVOKED
        case Completed():
            return SUCCESS
        case _:
            return REJECTED if isinstance(error, Reject) else IGNORED
