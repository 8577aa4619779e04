"""Recorder: the broker in memory that remembers what was sent, as a person would write the call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from umbel.brokers.memory.broker import MemoryBroker
from umbel.engines.memory import Space
from umbel.exceptions import DecodeError
from umbel.model.job import Job
from umbel.task import Task
from umbel.wire.envelope import Envelope, decode


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One job that was sent. *delay* is in how many seconds it is due; *sent_at* and *expires* are unix times."""

    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    queue: str
    priority: int
    delay: float
    sent_at: float
    expires: float | None
    headers: Mapping[str, Any]

    def __str__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        said = [f"queue={self.queue!r}"]
        said += [f"due in {self.delay:g} s"] if self.delay else []
        said += [f"priority={self.priority}"] if self.priority else []
        return f"{self.task}({', '.join(given)})  [{', '.join(said)}]"


class Recorder(MemoryBroker):
    """Notes each job that comes into a queue: sent by a caller, a flow, a schedule, or the end of another job."""

    def __init__(self, space: Space, clock: Callable[[], float], tasks: Mapping[str, Task[..., Any]]) -> None:
        super().__init__(space, clock)
        self._tasks = tasks
        self._seen: set[str] = set()
        self.sent: list[Sent] = []

    def _put(self, job: Job, now: float) -> None:
        super()._put(job, now)
        if job.id in self._seen:
            return  # sent again, it is still one job
        self._seen.add(job.id)
        envelope = decode(job.envelope, len(job.envelope))
        args, kwargs = arguments_in(envelope, self._tasks.get(envelope.task))
        self.sent.append(
            Sent(
                id=job.id,
                task=envelope.task,
                args=tuple(args),
                kwargs=kwargs,
                queue=job.queue,
                priority=job.priority,
                delay=max(job.delay if job.eta is None else job.eta - now, 0.0),
                sent_at=now,
                expires=envelope.expires,
                headers=envelope.headers or {},
            )
        )


def arguments_in(envelope: Envelope, task: Task[..., Any] | None) -> tuple[Sequence[Any], dict[str, Any]]:
    """The arguments as the task would get them; of a task that is not known here, as they travel."""
    if task is not None:
        try:
            return task.arguments.decode(envelope.args, envelope.kwargs)
        except DecodeError:
            pass  # part of them comes from the job before it in a flow
    args: list[Any] = msgspec.msgpack.decode(envelope.args)
    kwargs: dict[str, Any] = msgspec.msgpack.decode(envelope.kwargs)
    return args, kwargs


def bound(task: Task[..., Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by the names of their parameters, so that it makes no difference how they were given."""
    if task is not None:
        try:
            return dict(inspect.signature(task.body).bind(*args, **kwargs).arguments)
        except (TypeError, ValueError):
            pass  # the first of them comes from elsewhere, or it has no signature
    return {**{str(index): value for index, value in enumerate(args)}, **kwargs}
