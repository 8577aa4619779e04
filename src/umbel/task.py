"""Task: a function that can be called elsewhere. Binds and encodes its arguments, hands the job to a Sender."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import cached_property
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    Unpack,
    cast,
)

import msgspec

from umbel import publishing
from umbel.admitting import Host as Departure
from umbel.admitting import Made, adispatch, check, dispatch
from umbel.asking import Source
from umbel.calling import NOTHING_SAID, Said, process, said_by
from umbel.canvas.signable import Signable
from umbel.clock import clock
from umbel.exceptions import ImproperlyConfigured, MaxRetriesExceededError, OperationalError
from umbel.hooks import HOOKS, Hooks
from umbel.limited import Limited
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.model.outcome import Result
from umbel.model.retry import RetryPolicy
from umbel.options import CallOptions, EagerOptions, Errors, Seconds, seconds
from umbel.reporting import Reporting
from umbel.request import Request, called_directly, running
from umbel.result import AsyncResult as Handle  # the name AsyncResult is a method's here, as in Celery
from umbel.result import EagerResult
from umbel.retrying import RetryCall, retry_of
from umbel.runnable import Runnable
from umbel.signals import after_task_publish, before_task_publish
from umbel.steps import Stepping
from umbel.wire import envelope
from umbel.wire.arguments import Arguments

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Keywords: TypeAlias = Mapping[str, Any] | None

_NOTHING: Final[Mapping[str, Any]] = {}


class Host(Departure, Source, Protocol):
    """What a task needs of its app."""

    def run_eager(self, task: Task[..., Any], job: Job) -> Result:
        """Run *job* here and now, through the real executor."""
        ...


class Call(msgspec.Struct, Generic[R_co], frozen=True):
    """A task with complete arguments, for `Umbel.send_many`; made by `Task.call`."""

    task: Task[..., R_co]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Task(Signable[P, R], Reporting, Stepping, Runnable, Limited, Hooks):
    """A function that workers run. Attributes are Celery's task options; durations are seconds.

    Derive from it to share options, hooks and resources: ``@app.task(base=MyTask)``; or define ``run`` in the class and
    register an instance with ``app.register_task``. There is one instance of a task in a process.
    """

    name: str = ""
    bind: bool = False
    queue: str | None = None
    priority: int | None = None
    expires: Seconds | None = None
    ignore_result: bool | None = None
    store_errors_even_if_ignored: bool | None = None
    track_started: bool | None = None
    typing: bool = True
    throws: Errors = ()
    autoretry_for: Errors = ()
    dont_autoretry_for: Errors = ()
    max_retries: int | None = 3
    default_retry_delay: Seconds = 180.0
    retry_backoff: bool | float = False
    retry_backoff_max: Seconds = 600.0
    retry_jitter: bool = True
    retry_kwargs: Mapping[str, Any] = {}

    arguments: Arguments
    __name__: str
    MaxRetriesExceededError: ClassVar = MaxRetriesExceededError
    OperationalError: ClassVar = OperationalError

    # The app; of a shared task the current one, found at each use.
    _host: Host | None = None
    _find_host: Callable[[], Host] | None = None
    _said: Said = NOTHING_SAID

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The body; of a decorated task its function, which with `bind` has the task as first argument already."""
        raise NotImplementedError(f"task {type(self).__qualname__} must define run")

    # --- calling it

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the body here and now, as the plain function that it is."""
        return self.run(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Send one job and answer its handle.

        Raises `TypeError` for arguments that the function would refuse, `EncodeError` for values that cannot travel,
        and `BrokerUnavailable` when the broker cannot be reached within ``broker_send_deadline``.
        """
        host = self._host or self.app
        job, handle = self._job(host, args, kwargs, self._said)
        if host.conf.task_always_eager:
            return self._eager(host, job)
        # Not left to `dispatch` where it has no more to do: every call pays for each call.
        plain = self.regulation is None and not host.conf.regulates and self._said.connection is None
        watched = before_task_publish.receivers or after_task_publish.receivers
        if plain and self._host is not None and not watched and running.get() is None:
            host.broker.send((job,))
            if host.teller is not None:
                host.teller.sent((job,))
        else:
            dispatch(host, (Made(job, handle),), self._said.connection)
        return handle

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """The async twin of `delay`."""
        return await self._asend(args, kwargs, self._said)

    def apply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Handle[R]:
        """Send one job with options; see `delay` and `CallOptions`."""
        host = self._host or self.app
        said = self._saying(options)
        job, handle = self._job(host, args, kwargs, said)
        if host.conf.task_always_eager:
            return self._eager(host, job)
        dispatch(host, (Made(job, handle),), said.connection)
        return handle

    async def aapply_async(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[CallOptions]
    ) -> Handle[R]:
        """The async twin of `apply_async`."""
        return await self._asend(args, kwargs, self._saying(options))

    def delay_many(self, calls: Iterable[Sequence[Any]]) -> list[Handle[R]]:
        """Send a job for each tuple of positional arguments in *calls*, all in one round trip; handles in that order.

        Raises as `delay` does, before anything is sent. For keyword arguments, options or different tasks:
        `Umbel.send_many`.
        """
        host = self._host or self.app
        made = [self._job(host, args, None, self._said) for args in calls]
        if host.conf.task_always_eager:
            return [self._eager(host, job) for job, _ in made]
        dispatch(host, [Made(*each) for each in made], self._said.connection)
        return [handle for _, handle in made]

    async def adelay_many(self, calls: Iterable[Sequence[Any]]) -> list[Handle[R]]:
        """The async twin of `delay_many`."""
        host = self._host or self.app
        made = [self._job(host, args, None, self._said) for args in calls]
        if host.conf.task_always_eager:
            return [await self._aeager(host, job) for job, _ in made]
        await adispatch(host, [Made(*each) for each in made], self._said.connection)
        return [handle for _, handle in made]

    def apply(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Unpack[EagerOptions]
    ) -> EagerResult[R]:
        """Run the job here and now, through the real codec and executor; retries follow at once, without waiting.

        With ``throw=True`` (default: ``task_eager_propagates``) the task's error is raised here.
        """
        host = self._host or self.app
        throw = options.pop("throw", None)
        said = msgspec.structs.replace(self._saying(cast("CallOptions", options)), announced=True)
        job, _ = self._job(host, args, kwargs, said)
        return self._eager(host, job, throw)

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """This task with arguments, to be sent with others by `Umbel.send_many`."""
        return Call(self, args, kwargs)

    def options(self, **options: Unpack[CallOptions]) -> Self:
        """This task with options for the calls made through what comes back: ``add.options(queue="q").delay(1)``."""
        said = self._saying(options)
        bound = copy.copy(self)
        vars(bound)["_said"] = said
        return bound

    def AsyncResult(self, task_id: str) -> Handle[R]:  # noqa: N802 - Celery's name
        """The handle of the job *task_id* of this task."""
        return Handle(task_id, self._host or self.app, self)

    # --- inside a run

    @property
    def request(self) -> Request:
        """The job that this task runs for; in a plain call one that says `called_directly`."""
        request = running.get()
        return request if request is not None and request.task == self.name else called_directly(self)

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        **options: Unpack[RetryCall],
    ) -> Exception:
        """Give this run up and have the job run again: ``raise self.retry(exc=error, countdown=5)``.

        The delay is *countdown* or *eta*, else ``default_retry_delay``; *args* and *kwargs* replace the job's. Raises
        `Retry`; over *max_retries* (default: the job's, else the task's) it raises *exc*, else
        `MaxRetriesExceededError`. Called without a job it raises *exc*. With ``throw=False`` the
        exception is returned, and the run is a retry whatever it returns.
        """
        replaced = None if args is None and kwargs is None else (args, kwargs)
        return retry_of(self, self.request, exc, replaced, options)

    # --- what the executor asks

    @property
    def retry_policy(self) -> RetryPolicy:
        """The options that decide about retries, as one value."""
        given = self.retry_kwargs
        return RetryPolicy(
            tuple(self.autoretry_for),
            tuple(self.dont_autoretry_for),
            given.get("max_retries", self.max_retries),
            seconds(given.get("countdown", self.default_retry_delay), "default_retry_delay"),
            float(self.retry_backoff),
            seconds(self.retry_backoff_max, "retry_backoff_max"),
            self.retry_jitter,
        )

    @cached_property
    def body(self) -> Callable[..., Any]:
        """What a worker calls: ``__call__`` if the task's class defines its own, else `run`."""
        return self.run if type(self).__call__ is Task.__call__ else self.__call__

    @cached_property
    def hooks(self) -> frozenset[str]:
        """The names of the hooks that the task's class defines itself."""
        return frozenset(name for name in HOOKS if getattr(type(self), name) is not getattr(Task, name))

    def encode_result(self, value: object) -> bytes:
        """The return value as bytes. Raises `EncodeError`."""
        return self.arguments.encode_result(value)

    def decode_result(self, raw: msgspec.Raw | bytes) -> R:
        """The return value in *raw*, as annotated where it fits. Raises `DecodeError`."""
        return cast("R", self.arguments.decode_result(raw))

    # --- the parts of a call

    @property
    def app(self) -> Host:
        """The app that this task belongs to; of a shared task the current one."""
        if self._host is not None:
            return self._host
        if self._find_host is None:
            raise ImproperlyConfigured(f"task {self.name or type(self).__qualname__} is not registered in an app")
        return self._find_host()

    def _job(self, host: Host, args: Sequence[Any], kwargs: Keywords, said: Said) -> tuple[Job, Handle[R]]:
        """The job of one call, and its handle; pure but for the id and the clock."""
        if self._host is None and (own := host.tasks.get(self.name, self)) is not self:  # a shared task: the app's own
            return cast("Self", own)._job(host, args, kwargs, said)  # noqa: SLF001
        raw, named = (self.arguments.encode_rest if said.takes else self.arguments.encode)(args, kwargs or _NOTHING)
        conf, now, parent = host.conf, time.time() + clock.ahead, running.get()
        if (conf.routes is not None or before_task_publish.receivers) and not said.announced:
            said = publishing.before(self, conf, args, kwargs or _NOTHING, said)
        priority = said.priority if said.priority is not None else self.priority
        until = None if self.expires is None else now + seconds(self.expires, "expires")
        described = envelope.Envelope(
            self.name,
            now,
            msgspec.Raw(raw),
            msgspec.Raw(named),
            expires=until if said.expires is None else said.expires,
            ignore_result=said.ignore_result,
            max_retries=said.max_retries,
            retry_policy=said.retry_policy,
            soft_time_limit=said.soft_time_limit,
            time_limit=said.time_limit,
            headers=said.headers,
            root_id=said.root_id or (None if parent is None else parent.root_id),
            parent_id=said.parent_id or (None if parent is None else parent.id),
            origin=process.origin,
            eta=now + said.countdown if said.countdown else said.eta,
            priority=conf.task_default_priority if priority is None else priority,
            part=said.part,
            group_id=said.group_id,
            links=said.links,
            errbacks=said.errbacks,
            in_chord=said.in_chord,
            delay=0.0 if said.part is None else said.countdown,
        )
        body = envelope.pack(described)
        if len(body) > conf.message_max_bytes:
            envelope.encode(described, conf.message_max_bytes)  # says what is too large
        queue = said.queue or self.queue or conf.task_default_queue
        ignored = said.ignore_result if said.ignore_result is not None else self.ignore_result
        job = Job(said.task_id or new_id(), queue, body, described.priority, said.countdown, said.eta)
        return job, Handle(job.id, host, self, queue, conf.task_ignore_result if ignored is None else ignored)

    def _saying(self, options: CallOptions) -> Said:
        """What a call with *options* says, on top of what this task was bound to by `options`."""
        if not options:
            return self._said
        if "link" in options or "link_error" in options:
            return self._told(self._said, options)
        return said_by(self._said, options, self.name)

    async def _asend(self, args: Sequence[Any], kwargs: Mapping[str, Any] | None, said: Said) -> Handle[R]:
        host = self._host or self.app
        if before_task_publish.receivers:
            said = await publishing.abefore(self, host.conf, args, kwargs or _NOTHING, said)
        job, handle = self._job(host, args, kwargs, said)
        if host.conf.task_always_eager:
            return await self._aeager(host, job)
        await adispatch(host, (Made(job, handle),), said.connection)
        return handle

    def _eager(self, host: Host, job: Job, throw: bool | None = None) -> EagerResult[R]:
        if self.regulation is not None:
            check(self, host.conf, job)
        handle: EagerResult[R] = EagerResult(job.id, host, self, job.queue, settled=host.run_eager(self, job))
        if host.conf.task_eager_propagates if throw is None else throw:
            handle.maybe_throw()
        return handle

    async def _aeager(self, host: Host, job: Job) -> EagerResult[R]:
        import asyncio

        # Not here: a task that blocks would block the caller's loop, and one with a loop of its own cannot nest it.
        return await asyncio.to_thread(self._eager, host, job)

    def __copy__(self) -> Self:
        own = type(self).__new__(type(self))
        vars(own).update(vars(self))
        vars(own).pop("body", None)
        if self.bind:
            # The body of a bound task is a method of the task it was made for.
            vars(own)["run"] = MethodType(self.run.__func__, own)  # type: ignore[attr-defined]
        return own

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"


class SyncTask(Task[P, R]):
    """The task of a `def` function; calling it runs the function here."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Run the function here and now."""
            ...


class AsyncTask(Task[P, R]):
    """The task of an `async def` function; calling it makes the coroutine, to be awaited here."""

    is_async = True

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            """Make the coroutine."""
            ...


Context: TypeAlias = Task[..., Any]
"""What ``self`` is in a task with ``bind=True``: the task itself."""
