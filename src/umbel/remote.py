"""Remote: the error that a job ended with, made again here, with its traceback in the worker as the cause."""

from __future__ import annotations

from collections.abc import Mapping

from umbel.exceptions import TaskError, TaskRevokedError
from umbel.model.failure import rebuild
from umbel.model.outcome import Result
from umbel.states import REVOKED


class RemoteTraceback(Exception):
    """The traceback of a task's error in the worker, as text; the ``__cause__`` of what `AsyncResult.get` raises."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def error_of(found: Result, known: Mapping[str, type[Exception]]) -> Exception:
    """The error in *found*, with its remote traceback as the cause."""
    if found.failure is None:
        return TaskRevokedError("revoked") if found.state == REVOKED else TaskError(found.state)
    error = rebuild(found.failure, dict(known))
    if found.failure.traceback:
        remote = RemoteTraceback(found.failure.traceback)
        remote.__cause__ = error.__cause__
        error.__cause__ = remote
    return error
