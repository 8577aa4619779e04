"""Events: what a handle sees of its job, change by change, until its end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Protocol

from umbel.asking import FETCH, Question
from umbel.contracts.powers import Location
from umbel.engines.operation import Operation, adrive, drive
from umbel.exceptions import TimeoutError
from umbel.looking import Sight, seen
from umbel.model.outcome import Result
from umbel.options import GetOptions
from umbel.states import IGNORED, PENDING

LEAST_PAUSE_SECONDS: Final = 0.01
FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 1.0
"""How long after a change the next look is, and how long it is while nothing changes; the end is told at once."""
_GROWTH: Final = 1.5
_OVER: Final = ("ended", "dead")


class Handle(Protocol):
    """What is asked of a handle."""

    id: str
    settled: Result | None

    def keep(self, raw: bytes) -> Result:
        """The result in the record *raw*."""
        ...

    def value_of(self, found: Result) -> Any:
        """The value, or the error, in *found*."""
        ...

    def ask(self, question: Question) -> Any:
        """The answer to *question*."""
        ...

    def aask(self, question: Question) -> Coroutine[Any, Any, Any]:
        """The async twin of `ask`."""
        ...

    def located(self) -> Operation[Question, Location]:
        """Where the job is."""
        ...

    def record_of_known(self) -> Operation[Question, bytes | None]:
        """The record of a job that has just ended, None for one that can still end. Raises `UnknownResult`."""
        ...

    @property
    def tracked(self) -> bool:
        """Whether a job that runs is shown as STARTED."""
        ...


class Events:
    """The changes of state, info or place of one job, each as a `Sight`; the last one is its end.

    For ``for`` and ``async for``. The end without a record has the state IGNORED. Raises `UnknownResult` for a job that
    is unknown, `TimeoutError` when the end has not come within *timeout* seconds.
    """

    def __init__(self, handle: Handle, timeout: float | None = None) -> None:
        """Ask nothing yet."""
        self._handle = handle
        self._timeout = timeout

    def __iter__(self) -> Iterator[Sight]:
        course = Course(self._handle, self._timeout)
        while not course.over:
            yield drive(course.next_change(), self._handle.ask)

    async def __aiter__(self) -> AsyncIterator[Sight]:
        course = Course(self._handle, self._timeout)
        while not course.over:
            yield await adrive(course.next_change(), self._handle.aask)


class Course:
    """Where one reader of events is. *interval*: look that often, in seconds; *on_interval* is called each time."""

    def __init__(
        self,
        handle: Handle,
        timeout: float | None,
        interval: float | None = None,
        on_interval: Callable[[], object] | None = None,
    ) -> None:
        """Nothing was seen yet."""
        self.over = False
        self._handle = handle
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._interval = None if interval is None else max(interval, LEAST_PAUSE_SECONDS)
        self._on_interval = on_interval
        self._pause = self._first = self._interval or FIRST_PAUSE_SECONDS
        self._last: object = None

    def next_change(self) -> Operation[Question, Sight]:
        """What is seen next that is not what was seen last; waits for it."""
        if self._last is None:
            yield from self._fetch(FETCH)
        while True:
            if self._last is not None:
                yield from self._fetch(Question("watch", self._patience()))
            sight, key = yield from self._look()
            if key != self._last:
                self._last, self._pause = key, self._first
                return sight
            if self._deadline is not None and self._deadline <= time.monotonic():
                raise TimeoutError(f"{self._handle.id} did not end within {self._timeout:g} s")
            self._pause = self._interval or min(self._pause * _GROWTH, LAST_PAUSE_SECONDS)

    def _patience(self) -> float:
        if self._deadline is None:
            return self._pause
        return max(0.0, min(self._pause, self._deadline - time.monotonic()))

    def _fetch(self, question: Question) -> Operation[Question, None]:
        raw: bytes | None = None
        if self._handle.settled is None:
            raw = yield question
        if raw:
            self._handle.keep(raw)
        if question is not FETCH and self._on_interval is not None:
            self._on_interval()

    def _look(self) -> Operation[Question, tuple[Sight, object]]:
        handle = self._handle
        if handle.settled is None:
            location = yield from handle.located()
            if location.place == "unknown" and (raw := (yield from handle.record_of_known())) is not None:
                handle.keep(raw)
            elif location.place not in _OVER:
                sight = seen(location, handle.tracked)
                return sight, (sight.state, sight.place, location.note)
            else:
                yield from self._fetch(FETCH)  # it may have ended between the two looks
        self.over = True
        found = handle.settled
        state, info = (IGNORED, None) if found is None else (found.state, handle.value_of(found))
        return Sight(state, info, "ended"), state


def told(handle: Handle, timeout: float | None, options: GetOptions) -> Operation[Question, None]:
    """Wait for the end, and tell *on_message* of each change and *on_interval* of each look."""
    on_message = options.get("on_message")
    course = Course(handle, timeout, options.get("interval"), options.get("on_interval"))
    while not course.over:
        sight = yield from course.next_change()
        if on_message is not None and sight.state != PENDING:
            on_message(_message(handle, sight))


def _message(handle: Handle, sight: Sight) -> dict[str, Any]:
    """A change in the form that Celery gives it."""
    failure = None if handle.settled is None else handle.settled.failure
    shown: dict[str, Any] = {"task_id": handle.id, "status": sight.state, "result": sight.info, "children": []}
    return {**shown, "traceback": None if failure is None else failure.traceback or None}
