"""Reporting: what a running task says of itself, its progress or a state of its own.

A call writes on the page of the run and, unless that is about to leave anyway, tells the notebook of the child, which
sends it at most four times a second. So the last word always leaves, and all others cost next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from umbel.page import Page, Said, progress_meta
from umbel.request import Request, running
from umbel.states import FAILURE, IGNORED, PROGRESS, REJECTED, REVOKED, STARTED, SUCCESS
from umbel.wire import note

T = TypeVar("T")
MAX_STATE_CHARACTERS: Final = 64
_TERMINAL: Final = frozenset({SUCCESS, FAILURE, REVOKED, IGNORED, REJECTED})


class Reporting:
    """What tasks say while they run. In a plain call and eager there is nobody to be told, and nothing happens.

    Events tell of the jobs of a task if *send_events*. In them the arguments named in *redact* are hidden, with
    "return" its result, too; such jobs are told without what it takes to send them again.
    """

    redact: Collection[str] = ()
    send_events: bool = True

    if TYPE_CHECKING:

        @property
        def request(self) -> Request:
            """The job that this task runs for."""
            ...

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: object = None) -> None:
        """Show *state*, by default PROGRESS, and *meta* as ``state`` and ``info`` of the handles of this job.

        It leaves within a moment, at most four times a second; the last one always does. Raises `LeaseLost` when
        another worker has the job by now, `EncodeError` for a *meta* that cannot travel, `ValueError` for a state with
        which a job ends and for the id of another job, `ImproperlyConfigured` on a broker that keeps no such notes.
        """
        request = running.get()
        if request is None or request.task_object is not self:  # type: ignore[comparison-overlap]
            request = self.request
        if task_id is not None and task_id != request.id:
            raise ValueError(f"update_state: {task_id} is another job: only the one that runs here says what it does")
        report(request, (_checked(state), note.encode_meta(meta)))

    async def aupdate_state(self, task_id: str | None = None, state: str | None = None, meta: object = None) -> None:
        """The same as `update_state`, which does not block either."""
        self.update_state(task_id, state, meta)

    def progress(self, current: float, total: float | None = None, text: str = "") -> None:
        """Show the state PROGRESS with ``{"current", "total", "text"}``; a call that need not leave takes no time.

        Raises as `update_state`.
        """
        request = running.get()
        if request is None or request.task_object is not self:  # type: ignore[comparison-overlap]
            request = self.request
        _report_progress(request, current, total, text)


def report(request: Request, said: Said) -> None:
    """Have *said* leave for the job of *request*. Raises as `Reporting.update_state`."""
    notebook = request.notebook
    if notebook is None:
        return
    page = request.page
    if page is None:
        notebook.check()
        page = request.page = Page(request.delivery, request)
    page.say(said, notebook)


def _report_progress(request: Request, current: float, total: float | None, text: str) -> None:
    page = request.page
    if page is not None:
        page.said = (current, total, text)  # before the look at the flag, as in `Page.say`
        if page.queued and not page.lost:
            return
    report(request, (PROGRESS, progress_meta(current, total, text)))


def started(request: Request) -> None:
    """Show who runs the job of *request*, where the broker keeps notes."""
    if request.notebook is not None and request.notebook.able:
        report(request, (STARTED, note.encode_meta({"pid": os.getpid(), "hostname": request.hostname})))


class progress(Generic[T]):  # noqa: N801 - it reads like a function: for row in progress(rows)
    """*items* one by one, while the job that runs here shows how many of them are done.

    *total* is known of what has a length. For ``async for`` as well. Outside a job it just hands out the items.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T], total: float | None = None, text: str = "") -> None:
        """Say nothing yet."""
        self._items = items
        self._total = len(items) if total is None and isinstance(items, Sized) else total
        self._text = text

    def __iter__(self) -> Iterator[T]:
        done = 0
        for item in cast("Iterable[T]", self._items):
            self._say(done)
            yield item
            done += 1
        self._say(done)

    async def __aiter__(self) -> AsyncIterator[T]:
        done = 0
        async for item in cast("AsyncIterable[T]", self._items):
            self._say(done)
            yield item
            done += 1
        self._say(done)

    def _say(self, done: int) -> None:
        request = running.get()
        if request is not None:
            _report_progress(request, done, self._total, self._text)


def _checked(state: str | None) -> str:
    if state is None or state == PROGRESS:
        return PROGRESS
    if not isinstance(state, str) or not 0 < len(state) <= MAX_STATE_CHARACTERS:
        raise ValueError(f"update_state: {state!r} is no state: give text of up to {MAX_STATE_CHARACTERS} characters")
    if state in _TERMINAL:
        raise ValueError(f"update_state: {state} is how a job ends: return, or raise an error, Ignore or Reject")
    return state
