"""The hooks of a task, called around its body: before_start, on_success, on_failure, on_retry, after_return."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, TypeAlias

from umbel.execution.to_end import to_end
from umbel.model.outcome import Failed, Outcome, Retried
from umbel.request import Request
from umbel.states import FAILURE, SUCCESS
from umbel.task import Task

_logger = logging.getLogger("umbel.worker")
AnyTask: TypeAlias = Task[..., Any]
_Call: TypeAlias = tuple[str, Callable[..., Any], tuple[Any, ...]]


class ExceptionInfo:
    """What Celery's hooks get as *einfo*: the exception, its type, its traceback as text, and all three."""

    def __init__(self, exception: BaseException) -> None:
        """Take everything from *exception* while its traceback is alive."""
        self.exception = exception
        self.type: type[BaseException] = type(exception)
        self.traceback = "".join(traceback.format_exception(exception))
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


def after_success(task: AnyTask, request: Request, value: object) -> None:
    """Call the hooks of a run that returned *value*; their errors are logged and change nothing."""
    _call_all(request, _on_success(task, request, value))


def after_error(task: AnyTask, request: Request, outcome: Outcome, error: BaseException) -> None:
    """Call the hooks of a run that raised *error*; their errors are logged and change nothing."""
    _call_all(request, _on_error(task, request, outcome, error))


async def aafter_success(task: AnyTask, request: Request, value: object) -> None:
    """The async twin of `after_success`."""
    await _acall_all(request, _on_success(task, request, value))


async def aafter_error(task: AnyTask, request: Request, outcome: Outcome, error: BaseException) -> None:
    """The async twin of `after_error`."""
    await _acall_all(request, _on_error(task, request, outcome, error))


def _call_all(request: Request, calls: Iterator[_Call]) -> None:
    for name, hook, arguments in calls:
        try:
            call(hook, *arguments)
        except BaseException:
            _logger.exception("%s of task %s[%s] failed", name, request.task, request.id)


async def _acall_all(request: Request, calls: Iterator[_Call]) -> None:
    for name, hook, arguments in calls:
        try:
            await acall(hook, *arguments)
        except BaseException:
            _logger.exception("%s of task %s[%s] failed", name, request.task, request.id)


def _on_success(task: AnyTask, request: Request, value: object) -> Iterator[_Call]:
    where = (request.id, request.args, request.kwargs)
    if "on_success" in task.hooks:
        yield "on_success", task.on_success, (value, *where)
    if "after_return" in task.hooks:
        yield "after_return", task.after_return, (SUCCESS, value, *where, None)


def _on_error(task: AnyTask, request: Request, outcome: Outcome, error: BaseException) -> Iterator[_Call]:
    where = (request.id, request.args, request.kwargs)
    if isinstance(outcome, Retried) and outcome.charged and "on_retry" in task.hooks:
        cause = getattr(error, "exc", None) or error
        yield "on_retry", task.on_retry, (cause, *where, ExceptionInfo(cause))
    # Celery calls neither hook for RETRY, IGNORED and REJECTED.
    if not isinstance(outcome, Failed):
        return
    info = ExceptionInfo(error)
    if "on_failure" in task.hooks:
        yield "on_failure", task.on_failure, (error, *where, info)
    if "after_return" in task.hooks:
        yield "after_return", task.after_return, (FAILURE, error, *where, info)
