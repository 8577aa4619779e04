"""What ``self.retry`` decides: when the job runs again, or which error ends it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypedDict

from umbel.exceptions import MaxRetriesExceededError, Retry
from umbel.options import Seconds, check_names, checked_count, seconds, timestamp
from umbel.request import Request


class RetryCall(TypedDict, total=False):
    """The keywords of ``self.retry`` beside *args*, *kwargs* and *exc*; *countdown* wins over *eta*."""

    throw: bool
    eta: datetime | None
    countdown: Seconds | None
    max_retries: int | None


class Retrying(Protocol):
    """What is asked of a task."""

    name: str
    max_retries: int | None
    default_retry_delay: Seconds


Replaced = tuple[Sequence[Any] | None, Mapping[str, Any] | None]


def retry_of(
    task: Retrying, request: Request, exc: BaseException | None, replaced: Replaced | None, options: RetryCall
) -> Exception:
    """Raise or answer the exception that ends this run of *task*; see `Task.retry`."""
    check_names(options, RetryCall.__annotations__, f"{task.name}: retry")
    if request.called_directly:
        _raise_handled(exc)
        raise Retry("Task can be retried", exc)
    limit = _limit(task, request, options)
    if limit is not None and request.retries + 1 > limit:
        request.exhausted = True
        _raise_handled(exc)
        raise _exceeded(task, request)
    args, kwargs = replaced if replaced is not None else (None, None)
    retry = Retry(
        exc=exc if exc is not None else sys.exception(),
        when=_delay(task, request, options),
        replaced=None
        if replaced is None
        else (None if args is None else tuple(args), None if kwargs is None else dict(kwargs)),
    )
    if options.get("throw", True):
        raise retry
    request.retrying = retry
    return retry


def _raise_handled(exc: BaseException | None) -> None:
    """Raise *exc*, or again what is being handled."""
    handled = exc if exc is not None else sys.exception()
    if handled is not None:
        raise handled


def _limit(task: Retrying, request: Request, options: RetryCall) -> int | None:
    given = options.get("max_retries")
    if given is not None:
        return checked_count(given, "max_retries")
    sent, policy = request.envelope.max_retries, request.envelope.retry_policy or {}
    if sent is not None:
        return sent
    if "max_retries" in policy:
        allowed = policy["max_retries"]
        return None if allowed is None else int(allowed)
    return task.max_retries


def _delay(task: Retrying, request: Request, options: RetryCall) -> float:
    countdown, eta = options.get("countdown"), options.get("eta")
    if countdown is not None:
        return max(seconds(countdown, "countdown"), 0.0)
    if eta is not None:
        return max(timestamp(eta, "eta") - time.time(), 0.0)
    policy = request.envelope.retry_policy or {}
    return seconds(policy.get("default_delay") or task.default_retry_delay, "default_retry_delay")


def _exceeded(task: Retrying, request: Request) -> MaxRetriesExceededError:
    error = MaxRetriesExceededError(
        f"Can't retry {task.name}[{request.id}] args:{request.args!r} kwargs:{request.kwargs!r}"
    )
    error.task_args = request.args
    error.task_kwargs = request.kwargs
    return error
