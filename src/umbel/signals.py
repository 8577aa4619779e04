"""Signals: Celery's names for the moments in the life of jobs and workers; whoever connects is told.

Receivers are observers: one that fails is logged and changes nothing. Where each is sent: docs/signals.md.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, NoReturn, TypeAlias, TypeGuard, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])
Receiver: TypeAlias = Callable[..., Any]
Running: TypeAlias = Coroutine[Any, Any, Any]
Responses: TypeAlias = list[tuple[Receiver, Any]]

FIRST_PAUSE_SECONDS: Final = 2.0
LAST_PAUSE_SECONDS: Final = 30.0
"""The first and the longest pause between two calls of a receiver with ``retry=True`` that fails."""
_logger: Final = logging.getLogger("umbel.signals")
_lock: Final = threading.RLock()  # a reference may die, and tell so, while a thread has it

AROUND_RUNS: Final[set[str]] = set()
"""The names of the signals around a run that somebody listens to: one truth test says that there is none."""
UNSTARTED: Final[set[str]] = set()
"""Likewise of those of jobs that a worker received and did not run."""


class _Connection:
    """A receiver at a signal; *find* answers it, or None when nobody holds it any more."""

    __slots__ = ("find", "key", "retry", "sender")

    def __init__(self, key: tuple[Any, Any], sender: object, find: Callable[[], Receiver | None], retry: bool) -> None:
        self.key = key
        self.sender = sender
        self.find = find
        self.retry = retry


class Signal:
    """One moment. *providing_args* are the names of what receivers are told, beside *signal* and *sender*.

    With *raises* the error of a receiver is raised by `send`, and receivers are always held: for moments at which
    nothing must be missing.
    """

    def __init__(
        self,
        name: str = "",
        providing_args: Iterable[str] = (),
        *,
        raises: bool = False,
        listened: tuple[set[str], ...] = (),
    ) -> None:
        """The sets *listened* have the name of this signal in them as long as somebody listens."""
        self.name = name
        self.providing_args = frozenset(providing_args)
        self.receivers: tuple[_Connection, ...] = ()
        """Empty: nobody listens, and nothing needs to be sent."""
        self._raises = raises
        self._listened = listened

    @overload
    def connect(
        self, receiver: F, sender: object = None, weak: bool = True, dispatch_uid: object = None, retry: bool = False
    ) -> F: ...
    @overload
    def connect(
        self,
        receiver: None = None,
        sender: object = None,
        weak: bool = True,
        dispatch_uid: object = None,
        retry: bool = False,
    ) -> Callable[[F], F]: ...
    def connect(
        self,
        receiver: Any = None,
        sender: object = None,
        weak: bool = True,
        dispatch_uid: object = None,
        retry: bool = False,
    ) -> Any:
        """Call ``receiver(signal=…, sender=…, **more)``, a function or coroutine function, at this moment.

        Also a decorator, with or without options. *sender*: only for that sender; a task stands for its name. *weak*:
        it is disconnected when nobody else holds it, so a function inside a function needs false. *dispatch_uid*
        keeps it from being connected twice. *retry*: one that fails is called again, in the background, until it does
        not. Raises `ValueError` for a receiver without ``**kwargs``.
        """
        if receiver is None:

            def connect(given: F) -> F:
                return self.connect(given, sender, weak, dispatch_uid, retry)

            return connect
        if not callable(receiver):
            raise TypeError(f"{self.name}: {receiver!r} cannot be called")
        _check(receiver)
        key = (_identity(receiver) if dispatch_uid is None else dispatch_uid, _sender_key(sender))
        find = self._reference(receiver) if weak and not (retry or self._raises) else lambda: receiver
        with _lock:
            if all(one.key != key for one in self.receivers):
                self._keep((*self.receivers, _Connection(key, sender, find, retry)))
        return receiver

    def disconnect(
        self,
        receiver: Receiver | None = None,
        sender: object = None,
        weak: bool | None = None,
        dispatch_uid: object = None,
    ) -> bool:
        """Call it no more: *receiver*, or the one connected with *dispatch_uid*; answers whether it was connected.

        It makes no difference whether it was *weak*: Celery's argument, in its place.
        """
        del weak
        key = (_identity(receiver) if dispatch_uid is None else dispatch_uid, _sender_key(sender))
        with _lock:
            staying = tuple(one for one in self.receivers if one.key != key)
            found = len(staying) < len(self.receivers)
            self._keep(staying)
        return found

    def has_listeners(self, sender: object = None) -> bool:
        """Tell whether somebody listens to *sender*."""
        return bool(self.receivers) and bool(self._of(sender))

    def send(self, sender: object, **named: Any) -> Responses:
        """Call all receivers in order and answer what each returned, or its exception.

        Those that are coroutines are run to their end: inside a `def` task of a worker in the child's loop, else in a
        loop of their own.
        """
        return self.deliver(sender, named)

    def send_robust(self, sender: object, **named: Any) -> Responses:
        """`send` by the name that it has in Django, and in Celery too."""
        return self.deliver(sender, named)

    async def asend(self, sender: object, **named: Any) -> Responses:
        """The async twin of `send`: coroutines are awaited here. Functions run here, too, so they must not block."""
        return await self.adeliver(sender, named)

    def deliver(self, sender: object, named: Mapping[str, Any]) -> Responses:
        """`send` with the details in a mapping."""
        told: Responses = []
        for one, receiver in self._of(sender):
            try:
                response = receiver(signal=self, sender=sender, **named)
                if _runs(response):
                    response = _to_end(response)
            except Exception as error:  # noqa: BLE001 - an observer changes nothing
                response = self._failed(one, receiver, error, (sender, named))
            told.append((receiver, response))
        return told

    async def adeliver(self, sender: object, named: Mapping[str, Any]) -> Responses:
        """The async twin of `deliver`."""
        told: Responses = []
        for one, receiver in self._of(sender):
            try:
                response = receiver(signal=self, sender=sender, **named)
                if _runs(response):
                    response = await response
            except Exception as error:  # noqa: BLE001 - likewise
                response = self._failed(one, receiver, error, (sender, named))
            told.append((receiver, response))
        return told

    def post(self, sender: object, **named: Any) -> None:
        """Call all receivers from the running loop, which does not wait for those that are coroutines."""
        for one, receiver in self._of(sender):
            try:
                response = receiver(signal=self, sender=sender, **named)
            except Exception as error:  # noqa: BLE001 - likewise
                self._failed(one, receiver, error, (sender, named))
                continue
            if _runs(response):
                _start(self._awaited(one, receiver, response, (sender, named)))

    async def _awaited(self, one: _Connection, receiver: Receiver, response: Running, told: tuple[object, Any]) -> None:
        try:
            await response
        except Exception as error:  # noqa: BLE001 - likewise
            self._failed(one, receiver, error, told)

    def _of(self, sender: object) -> list[tuple[_Connection, Receiver]]:
        """Who is to be told of *sender*."""
        key = _sender_key(sender)
        found: list[tuple[_Connection, Receiver]] = []
        for one in self.receivers:
            receiver = one.find()
            if receiver is not None and one.key[1] in (None, key):
                found.append((one, receiver))
        return found

    def _failed(self, one: _Connection, receiver: Receiver, error: Exception, told: tuple[object, Any]) -> Exception:
        if self._raises:
            raise error
        _logger.error("receiver %r of %s failed: %r", receiver, self.name, error, exc_info=error)
        if one.retry:
            call = (self, receiver, *told)
            threading.Thread(target=_insist, args=call, name=f"umbel-{self.name}", daemon=True).start()
        return error

    def _reference(self, receiver: Receiver) -> Callable[[], Receiver | None]:
        method = hasattr(receiver, "__self__") and hasattr(receiver, "__func__")
        kind: Any = weakref.WeakMethod if method else weakref.ref
        found: Callable[[], Receiver | None] = kind(receiver, self._gone)
        return found

    def _gone(self, reference: object) -> None:
        with _lock:
            self._keep(tuple(one for one in self.receivers if one.find is not reference))

    def _keep(self, receivers: tuple[_Connection, ...]) -> None:
        self.receivers = receivers
        for names in self._listened:
            (names.add if receivers else names.discard)(self.name)

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


def _runs(response: object) -> TypeGuard[Running]:
    return isinstance(response, Coroutine)


def _check(receiver: Receiver) -> None:
    import inspect

    try:
        parameters = inspect.signature(receiver).parameters.values()
    except (TypeError, ValueError):  # made in C: nobody can tell
        return
    if all(each.kind is not each.VAR_KEYWORD for each in parameters):
        raise ValueError(f"{receiver!r} must take **kwargs: a signal may tell more one day")


def _identity(receiver: Any) -> Any:
    own = getattr(receiver, "__self__", None)
    function = getattr(receiver, "__func__", None)
    return id(receiver) if own is None or function is None else (id(own), id(function))


def _sender_key(sender: Any) -> Any:
    """What tells senders apart: text and the names of tasks by value, for a task is copied for each app."""
    if sender is None or isinstance(sender, str):
        return sender
    name = getattr(sender, "name", None)
    return name if isinstance(name, str) and hasattr(sender, "apply_async") else id(sender)


def _to_end(coroutine: Running) -> Any:
    from umbel.to_end import to_end  # brings asyncio along, which a producer does not need

    return to_end(coroutine)


def _insist(signal: Signal, receiver: Receiver, sender: object, named: Mapping[str, Any]) -> None:
    pause = FIRST_PAUSE_SECONDS
    while True:
        time.sleep(pause)
        pause = min(pause * 2, LAST_PAUSE_SECONDS)
        try:
            response = receiver(signal=signal, sender=sender, **named)
            if _runs(response):
                _to_end(response)
        except Exception as error:  # noqa: BLE001 - the next try comes
            _logger.warning("receiver %r of %s failed again: %r", receiver, signal.name, error)
        else:
            return


_posted: Final[set[Any]] = set()


def _start(coroutine: Coroutine[Any, Any, None]) -> None:
    import asyncio

    posted = asyncio.get_running_loop().create_task(coroutine)
    _posted.add(posted)
    posted.add_done_callback(_posted.discard)


def _made(name: str, args: str = "", *listened: set[str]) -> Signal:
    return Signal(name, args.split(), listened=listened)


_PUBLISH: Final = "body exchange routing_key headers properties declare retry_policy"
_FAILED: Final = "task_id exception args kwargs traceback einfo"

before_task_publish: Final = _made("before_task_publish", _PUBLISH)
after_task_publish: Final = _made("after_task_publish", "body headers exchange routing_key")
task_received: Final = _made("task_received", "request")
task_prerun: Final = _made("task_prerun", "task_id task args kwargs", AROUND_RUNS)
task_postrun: Final = _made("task_postrun", "task_id task args kwargs retval state", AROUND_RUNS)
task_success: Final = _made("task_success", "result runtime", AROUND_RUNS)
task_retry: Final = _made("task_retry", "request reason einfo", AROUND_RUNS)
task_failure: Final = _made("task_failure", _FAILED, AROUND_RUNS, UNSTARTED)
task_revoked: Final = _made("task_revoked", "request terminated signum expired", AROUND_RUNS, UNSTARTED)
task_rejected: Final = _made("task_rejected", "message exc", UNSTARTED)
task_unknown: Final = _made("task_unknown", "message exc name id", UNSTARTED)
task_internal_error: Final = _made("task_internal_error", f"{_FAILED} request")

celeryd_init: Final = _made("celeryd_init", "instance conf options")
celeryd_after_setup: Final = _made("celeryd_after_setup", "instance conf")
import_modules: Final = _made("import_modules")
worker_init: Final = _made("worker_init")
worker_before_create_process: Final = _made("worker_before_create_process")
worker_process_init: Final = _made("worker_process_init")
worker_process_shutdown: Final = _made("worker_process_shutdown", "pid exitcode")
worker_ready: Final = _made("worker_ready")
heartbeat_sent: Final = _made("heartbeat_sent")
worker_shutting_down: Final = _made("worker_shutting_down", "sig how exitcode")
worker_shutdown: Final = _made("worker_shutdown")

setup_logging: Final = _made("setup_logging", "loglevel logfile format colorize")
after_setup_logger: Final = _made("after_setup_logger", "logger loglevel logfile format colorize")
after_setup_task_logger: Final = _made("after_setup_task_logger", "logger loglevel logfile format colorize")
beat_init: Final = _made("beat_init")
beat_embedded_init: Final = _made("beat_embedded_init")

_REFUSED: Final = {
    "task_sent": "use after_task_publish",
    "user_preload_options": "the command line is read before the app is imported: use settings or variables",
    "eventlet_pool_started": "use async def tasks, or threads",
    "eventlet_pool_preshutdown": "use async def tasks, or threads",
    "eventlet_pool_postshutdown": "use async def tasks, or threads",
    "eventlet_pool_apply": "use async def tasks, or threads",
}


def __getattr__(name: str) -> NoReturn:
    if name in _REFUSED:
        raise ImportError(f"the signal {name} is not supported: {_REFUSED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
