"""Limits: how long a run may take. The call beats the task, the task beats worker and app. Durations are seconds."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from umbel.task import Task
from umbel.wire.envelope import Envelope

AnyTask: TypeAlias = Task[..., Any]


class Limits(NamedTuple):
    """The soft and the hard time limit of a run; None: there is none."""

    soft: float | None = None
    hard: float | None = None


class Terms:
    """The limits under which the jobs of this child run; *usual* are those of the worker or the app."""

    def __init__(self, usual: Limits = Limits()) -> None:  # noqa: B008 - an immutable value
        """Nothing was changed."""
        self._usual = usual
        self.changed: dict[str, Limits] = {}
        """By the name of a task: what counts instead of its own limits while this child lives."""

    def of(self, envelope: Envelope, task: AnyTask | None) -> Limits | None:
        """The limits of one run; None if there are none. *task* is None where it is not known."""
        soft, hard = self._usual if task is None else self._own(task)
        if envelope.soft_time_limit is not None:
            soft = envelope.soft_time_limit
        if envelope.time_limit is not None:
            hard = envelope.time_limit
        return None if soft is None and hard is None else Limits(soft, hard)

    def _own(self, task: AnyTask) -> tuple[Any, Any]:
        if self.changed and task.name in self.changed:
            return self.changed[task.name]
        soft, hard = task.soft_time_limit, task.time_limit
        return (self._usual.soft if soft is None else soft), (self._usual.hard if hard is None else hard)
