"""Limits: how long a run may take. The call beats the task, the task beats worker and app. Durations are seconds."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from umbel.options import checked_limits
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
        """Look at the tasks when they run first."""
        self._usual = usual
        self._own: dict[str, Limits | None] = {}

    def of(self, envelope: Envelope, task: AnyTask | None) -> Limits | None:
        """The limits of one run; None if there are none. *task* is None where it is not known."""
        try:
            own = self._own[envelope.task]
        except KeyError:
            own = self._look_at(task)
        if envelope.soft_time_limit is None and envelope.time_limit is None:
            return own
        soft, hard = own or (None, None)
        return Limits(
            soft if envelope.soft_time_limit is None else envelope.soft_time_limit,
            hard if envelope.time_limit is None else envelope.time_limit,
        )

    def change(self, task: str, limits: Limits) -> None:
        """Let *limits* count for the runs of *task* that begin from now on; empty ones: its own again."""
        if limits == Limits():
            self._own.pop(task, None)
        else:
            self._own[task] = limits

    def _look_at(self, task: AnyTask | None) -> Limits | None:
        soft, hard = self._usual
        if task is not None:
            early, late = checked_limits(task.soft_time_limit, task.time_limit)
            soft, hard = soft if early is None else early, hard if late is None else late
        found = None if soft is None and hard is None else Limits(soft, hard)
        if task is not None:
            self._own[task.name] = found
        return found
