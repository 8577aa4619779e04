"""Every error that Umbel raises: one base, Celery's names where Celery has one."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn


class UmbelError(Exception):
    """The base of all errors that Umbel raises."""


class ImproperlyConfigured(UmbelError):
    """A setting, URL or combination of options is wrong; the message names it and the cure."""


class EncodeError(UmbelError, TypeError):
    """A value cannot travel: the message names the parameter, the type and what travels instead."""


class DecodeError(UmbelError, ValueError):
    """Bytes from a broker or store are not a valid envelope, record or argument."""


class OperationalError(UmbelError):
    """An engine could not do what was asked; Celery's name for a broker that cannot be reached."""


class BrokerError(OperationalError):
    """The broker refused an operation: a bug, a damaged key or a wrong setting. Trying again will not help."""


class BrokerUnavailable(BrokerError):
    """The broker could not be reached within the deadline. Trying again later may help."""


class BrokerFull(BrokerError):
    """The broker is out of memory or disk. Nothing was lost; try again when it has room."""


class QueueFull(BrokerFull):
    """The queue has reached its length limit."""


class BackendError(OperationalError):
    """The result store could not do what was asked."""


class HistoryError(OperationalError):
    """The history could not do what was asked. Jobs never wait for it."""


class HistoryUnavailable(HistoryError):
    """The history could not be reached, or was locked, within the deadline."""


class HistoryFull(HistoryError):
    """There is no room left for the history. It goes on by itself when there is."""


class HistorySlow(HistoryError):
    """A read of the history took too long and was given up; ask for less."""


class TaskPredicate(UmbelError):
    """Raised inside a task to steer what becomes of the job; never an error of the task."""


class Ignore(TaskPredicate):
    """End the job without a record. If a flow waits for it, what follows there is revoked."""


class Replaced(Ignore):
    """The job goes on as another one, under its id; what ``self.replace`` raises.

    *envelope* is what it becomes, None for what it is already; *delay* in seconds.
    """

    def __init__(self, envelope: bytes | None, delay: float = 0.0) -> None:
        """Keep what the job becomes, and when."""
        super().__init__()
        self.envelope = envelope
        self.delay = delay


class Reject(TaskPredicate):
    """Give the job back: to the dead letters, or to the queue when *requeue* is true."""

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        """Keep why the job is rejected and whether it goes back to the queue."""
        super().__init__(reason, requeue)

    # Both are in the arguments: an error that has travelled is made again without its __init__.

    @property
    def reason(self) -> object:
        """Why the job is rejected."""
        return self.args[0] if self.args else None

    @property
    def requeue(self) -> bool:
        """Whether it goes back to the queue."""
        return len(self.args) > 1 and bool(self.args[1])

    def __str__(self) -> str:
        """Say why, and no more: it is shown behind the name of the class."""
        return "" if self.reason is None else str(self.reason)


class Retry(TaskPredicate):
    """The job will be run again; what ``self.retry`` raises.

    *when* is seconds from now; *sig* carries replaced arguments as ``(args, kwargs)``, or None to keep them.
    """

    message: str | None = None
    exc: BaseException | None = None
    when: float | None = None
    replaced: tuple[tuple[object, ...] | None, dict[str, object] | None] | None = None

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | None = None,
        replaced: tuple[tuple[object, ...] | None, dict[str, object] | None] | None = None,
    ) -> None:
        """Keep the cause and the delay in seconds of the next attempt."""
        super().__init__(message, exc, when)
        self.message = message
        self.exc = exc
        self.when = when
        self.replaced = replaced

    def __str__(self) -> str:
        """Say when the next attempt starts and why, in Celery's words."""
        text = self.message or (f"Retry in {self.when:g}s" if self.when is not None else "Retry")
        return f"{text}: {self.exc!r}" if self.exc is not None and not self.message else text


class TaskError(UmbelError):
    """A task failed; also what ``get()`` raises when the class of the original error is not loaded here.

    *exc_type* is the qualified name of the original class, None when this error is Umbel's own.
    """

    exc_type: str | None = None


class NotRegistered(TaskError, KeyError):
    """No task of that name is registered in this app."""

    def __str__(self) -> str:
        """Show the message as written; KeyError would show its repr."""
        return str(self.args[0]) if self.args else ""


class AlreadyRegistered(TaskError):
    """Another function already has that task name."""


class TimeoutError(TaskError, builtins.TimeoutError):
    """The result did not arrive in time; also the built-in TimeoutError."""


class MaxRetriesExceededError(TaskError):
    """The job failed more often than its retry policy allows; *task_args* and *task_kwargs* are its arguments."""

    task_args: Sequence[Any] = ()
    task_kwargs: Mapping[str, Any] = MappingProxyType({})


class TaskRevokedError(TaskError):
    """The job was revoked or had expired before it started."""


class DuplicateJob(TaskRevokedError):
    """Another job has the unique key of this one, so it does not run. *holder* is the id of that job."""

    holder: str = ""


class ChordError(TaskError):
    """A member of a chord failed, so its body does not run; the cause is the member's own error."""


class IncompleteStream(TaskError):
    """The job whose children were asked for has not ended."""


class UnknownResult(TaskError):
    """The result can never arrive: its job is unknown, or its result is ignored. The message says which."""


class FlowError(UmbelError):
    """What was asked of a flow cannot be done: it is unknown, or in no state for it. The message says which."""


class LeaseLost(TaskError):
    """The worker lost its lease on the job: whatever it still does is refused."""


class NotCommitted(TaskError):
    """The task ended its job in a transaction of its own and returned, but that was never committed."""


class WorkerLostError(TaskError):
    """The job killed the process that ran it, three times."""


class MemoryLimitExceeded(WorkerLostError):
    """The job took more memory than its ``memory_limit`` allows, and was killed."""


class SoftTimeLimitExceeded(TaskError):
    """The soft time limit of the job has passed: raised inside the task. Its argument is the limit in seconds."""

    def __str__(self) -> str:
        """Say which limit it was."""
        return _passed("soft time limit", self.args)


class TimeLimitExceeded(TaskError):
    """The hard time limit of the job has passed, and it was ended. Its argument is the limit in seconds."""

    def __str__(self) -> str:
        """Say which limit it was."""
        return _passed("time limit", self.args)


class Terminated(BaseException):
    """Raised inside a `def` task that has to end: it was revoked with ``terminate``, or its hard limit has passed.

    Whatever the task does then, its job has ended so. In an `async def` task it is `asyncio.CancelledError`.
    """


def _passed(what: str, args: tuple[object, ...]) -> str:
    if args and isinstance(args[0], int | float):
        return f"the {what} of {args[0]:g} s has passed"
    return str(args[0]) if args else f"the {what} has passed"


_ABSENT = {
    "CeleryError": "use UmbelError",
    "QueueNotFound": "a queue is there as soon as it is named",
    "InvalidTaskError": "a message that cannot be read is a dead letter",
    "BackendGetMetaError": "use BackendError",
    "BackendStoreError": "use BackendError",
    "SecurityError": "messages are data, and are not signed",
    "WorkerShutdown": "workers are stopped by SIGTERM or app.control.shutdown()",
    "WorkerTerminate": "workers are stopped by SIGQUIT",
    "AlwaysEagerIgnored": "nobody is warned: send_task sends, also with task_always_eager",
}
"""Exceptions of Celery's that nothing here raises, and what to do instead."""


def __getattr__(name: str) -> NoReturn:
    if name in _ABSENT:
        raise ImportError(f"the exception {name} is not supported: {_ABSENT[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
