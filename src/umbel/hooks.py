"""Hooks: what a task's class may do around its body."""

from __future__ import annotations

from typing import Any, Final

HOOKS: Final = ("before_start", "on_success", "on_retry", "on_failure", "after_return")


class Hooks:
    """Hooks for classes of yours; each may be a coroutine. An error is logged, in `before_start` it fails the job."""

    def before_start(self, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Called before the body."""

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Called after the body returned *retval*."""

    def on_retry(self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any) -> Any:
        """Called when the job will be run again because of *exc*."""

    def on_failure(self, exc: BaseException, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any) -> Any:
        """Called when the job has failed for good with *exc*."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> Any:
        """Called last, after success and failure; *retval* is the exception after a failure."""
