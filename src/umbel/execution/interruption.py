"""Interruption: how a run is told to end while its code runs, in a thread or in the loop.

Each runner keeps a window for each run, open while user code runs and shut otherwise. Whoever interrupts does so
through the window, so that nothing strikes the code of the worker, or the next job of the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import threading
import time
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, Final, Literal, TypeVar, cast

from umbel.exceptions import SoftTimeLimitExceeded, Terminated, TimeLimitExceeded
from umbel.execution.limits import Limits
from umbel.model.failure import capture
from umbel.model.outcome import Failed, Revoked

T = TypeVar("T")

Why = Literal["", "soft", "timeout", "revoked"]
"""Why a run was interrupted: not at all, at its soft limit, at its hard limit, or because its job was revoked."""
_UNLIMITED: Final = Limits()
FORCED: Final[tuple[Why, ...]] = ("timeout", "revoked")
"""What a run is not asked about: it has ended so, whatever it returned or raised then."""
_MOMENT_SECONDS: Final = 0.0002
_STRIKES: Final = (SoftTimeLimitExceeded, Terminated)


class ThreadWindow:
    """The window of the thread that makes it: an exception is raised in that thread, between two steps of its code.

    Only one other thread may interrupt. A call into C sees it when it returns.
    """

    __slots__ = ("_busy", "_open", "_struck", "_thread", "hard", "job", "soft", "why")

    def __init__(self) -> None:
        """Shut."""
        self._thread = threading.get_ident()
        self._open = False
        self._struck = False
        self._busy = False
        self.job = ""
        self.why: Why = ""
        self.soft: float | None = None
        self.hard: float | None = None

    def begin(self, job: str, limits: Limits | None = None) -> None:
        """The next run of this thread is that of *job*."""
        self.why = ""
        self.soft, self.hard = limits or _UNLIMITED
        self.job = job

    def open(self) -> None:
        """User code begins. Raises what would strike it if it was interrupted before."""
        self._open = True
        if self.why:
            raise SoftTimeLimitExceeded if self.why == "soft" else Terminated

    def close(self) -> Why:
        """User code has ended. An exception that is on its way is taken back; one that strikes here comes out of it."""
        # First shut, then look; `interrupt` does it the other way round. So either it sees that the window is shut, or
        # its mark is seen here: it can never strike what comes after.
        self._open = False
        if self._struck:
            self._absorb()
        return self.why

    def insist(self) -> None:
        """After `close`: raise `Terminated` if the run has no say in how it ends."""
        if self.why in FORCED:
            raise Terminated

    def interrupt(self, job: str, why: Why) -> bool:
        """Strike the run of *job*; tells whether it is here."""
        if self.job != job:
            return False
        self._busy = True
        self._struck = True
        if self.job == job and self.why not in FORCED:
            self.why = why
            if self._open:
                _raise_in(self._thread, SoftTimeLimitExceeded if why == "soft" else Terminated)
        self._busy = False
        return True

    def _absorb(self) -> None:
        # What is on its way is replaced by one of ours, which is waited for. Just taking it back would leave CPython
        # 3.11 looking for it at every step for ever after, and a profiler or debugger in an endless loop.
        while True:
            try:
                while self._busy:
                    time.sleep(_MOMENT_SECONDS)
                _raise_in(self._thread, _TakenBackError)
                while True:
                    time.sleep(0)
            except _TakenBackError:
                self._struck = False
                return
            except _STRIKES:
                continue


class _TakenBackError(BaseException):
    """Stands in for an interruption that came too late."""


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise *error* in *thread* as soon as it executes Python, instead of what it has not seen yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


class LoopWindow:
    """The window of one run in the event loop: its asyncio task is cancelled, at the next ``await``."""

    task: asyncio.Task[Any] | None = None
    """The one to be cancelled; to be set before it is interrupted."""
    why: Why = ""
    soft: float | None = None
    hard: float | None = None
    _open = False

    def __init__(self, job: str) -> None:
        """Shut. There is one for each run, so what most runs leave as it is belongs to the class."""
        self.job = job

    def open(self) -> None:
        """User code begins. Raises what would strike it if it was interrupted before."""
        self._open = True
        if self.why:
            raise SoftTimeLimitExceeded if self.why == "soft" else asyncio.CancelledError

    def softly(self, coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
        """*coroutine*, which has a soft limit and is told of it by `SoftTimeLimitExceeded`."""
        return Softly(coroutine, self)

    def close(self) -> Why:
        """User code has ended; if it was interrupted, `calm` has to follow."""
        self._open = False
        return self.why

    def interrupt(self, job: str, why: Why) -> bool:
        """Cancel the run of *job*; tells whether it is here."""
        if self.job != job:
            return False
        # Without a soft limit of its own it has nobody who would turn the cancellation into SoftTimeLimitExceeded.
        if self.why not in FORCED and (why != "soft" or self.soft is not None):
            self.why = why
            if self._open and self.task is not None:
                self.task.cancel()
        return True

    async def insist(self) -> None:
        """After `close`: be calm again; raise `Terminated` if the run has no say in how it ends."""
        await self.calm()
        if self.why in FORCED:
            raise Terminated

    async def calm(self) -> None:
        """Let the asyncio task, if it was interrupted, be as if it had never been cancelled."""
        if not self.why:
            return
        task = asyncio.current_task()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # a cancellation that it has not seen yet comes out here
        while task is not None and task.cancelling():
            task.uncancel()


def meant(window: ThreadWindow | LoopWindow, error: BaseException) -> BaseException:
    """What *error*, raised by a run, stands for, now that its *window* is closed: why it was interrupted counts."""
    why = window.close()
    if why == "timeout":
        limit = HardLimit() if window.hard is None else HardLimit(window.hard)
        limit.__cause__ = None if isinstance(error, (Terminated, asyncio.CancelledError)) else error
        return limit.with_traceback(error.__traceback__)
    if why == "revoked":
        return error if isinstance(error, Terminated) else Terminated().with_traceback(error.__traceback__)
    if why == "soft" and isinstance(error, SoftTimeLimitExceeded) and not error.args and window.soft is not None:
        error.args = (window.soft,)
    return error


def struck(error: BaseException) -> Failed | Revoked:
    """The outcome of a run that *error* has ended before it could have one."""
    return Revoked("terminated") if isinstance(error, Terminated) else Failed(capture(error))


class HardLimit(TimeLimitExceeded):
    """What a run has ended with that was interrupted at its hard limit: no retry policy has a say in it."""


class SoftCancelled(SoftTimeLimitExceeded, asyncio.CancelledError):
    """What a soft limit raises in a coroutine: to task groups, timeouts and other cleaning up it is a cancellation."""


# To everybody else they are what they are derived from; and so they travel.
for _kind, _public in ((HardLimit, TimeLimitExceeded), (SoftCancelled, SoftTimeLimitExceeded)):
    _kind.__qualname__, _kind.__module__ = _public.__qualname__, _public.__module__


class Softly(Awaitable[T]):
    """Awaits *coroutine*; a cancellation that comes from a soft limit reaches it as `SoftTimeLimitExceeded`."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], window: LoopWindow) -> None:
        """Nothing runs yet."""
        self._coroutine = coroutine
        self._window = window
        self._told = False

    def __await__(self) -> Generator[Any, Any, T]:
        """Drive the coroutine step by step."""
        step: Any = self._coroutine.send
        sent: Any = None
        while True:
            try:
                awaited = step(sent)
            except StopIteration as stop:
                return cast("T", stop.value)
            try:
                step, sent = self._coroutine.send, (yield awaited)
                if self._due:  # what it waited for has swallowed the cancellation
                    step, sent = self._coroutine.throw, self._meant()
            except asyncio.CancelledError as error:
                step, sent = self._coroutine.throw, self._meant() if self._due else error
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the coroutine
                step, sent = self._coroutine.throw, error

    @property
    def _due(self) -> bool:
        return self._window.why == "soft" and not self._told

    def _meant(self) -> SoftCancelled:
        self._told = True
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return SoftCancelled(self._window.soft)
