"""Steps: parts of a task whose values are kept with its job, so that a run which follows goes on behind them.

The values travel in the envelope, which the holder of the job replaces at the broker before a step returns: they come
back with the job after a retry, a crash or a lost lease, and are gone with it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

import msgspec

from umbel.exceptions import EncodeError
from umbel.request import Request, running
from umbel.wire import envelope, values

P = ParamSpec("P")
R = TypeVar("R")
MAX_NAME_CHARACTERS: Final = 200


class Stepping:
    """The steps of tasks. In a plain call and eager nothing is kept: each step just runs."""

    if TYPE_CHECKING:

        @property
        def request(self) -> Request:
            """The job that this task runs for."""
            ...

    def step(self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What *function* returns, which is called once for the job: later runs of it get the value that is kept.

        One that raises is not kept; one that is interrupted before its value is kept runs again. The value is what a
        result would be after its way. *name* is unique in the task, ``ValueError`` otherwise. Raises `LeaseLost` when
        another worker has the job by now, `EncodeError` for a value that cannot travel or steps that are too large
        together, `ImproperlyConfigured` on a broker that cannot keep them, `RuntimeError` in an ``async def`` task.
        """
        book = book_of(_request_of(self))
        found = book.begin(name)
        if found is None:
            if book.on_loop:
                raise RuntimeError(f"step {name!r}: in an async def task write await self.astep(…)")
            with book.taking(name):
                found = book.encoded(name, function(*args, **kwargs))
                book.keep(name, found)
        return cast("R", values.decode(found))

    async def astep(
        self, name: str, function: Callable[P, Awaitable[R] | R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The async twin of `step`; what *function* returns is awaited if it can be."""
        book = book_of(_request_of(self))
        found = book.begin(name)
        if found is None:
            with book.taking(name):
                value: Any = function(*args, **kwargs)
                found = book.encoded(name, await value if inspect.isawaitable(value) else value)
                await book.akeep(name, found)
        return cast("R", values.decode(found))


class Book:
    """The steps of one run."""

    def __init__(self, request: Request) -> None:
        """Those that are kept already came with the job."""
        self._request = request
        self._begun: set[str] = set()
        self._turn = threading.Lock()
        self._aturn: Any = None

    @property
    def on_loop(self) -> bool:
        """Whether the run is on an event loop, which nothing may block."""
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return self._request.desk is not None

    def begin(self, name: str) -> bytes | None:
        """The value that is kept of the step *name*, encoded; None if it is to run."""
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise ValueError(f"step {name!r}: a step has a name of up to {MAX_NAME_CHARACTERS} characters")
        if name in self._begun:
            raise ValueError(f"step {name!r} was taken in this run already: each step has a name of its own")
        found = (self._request.envelope.steps or {}).get(name)
        if found is None and self._request.desk is not None:
            self._request.desk.check()
        self._begun.add(name)
        return None if found is None else bytes(found)

    @contextmanager
    def taking(self, name: str) -> Generator[None]:
        """While the step *name* runs; one that fails may be taken again."""
        try:
            yield
        except BaseException:
            self._begun.discard(name)
            raise

    def encoded(self, name: str, value: object) -> bytes:
        """*value* as it is kept."""
        try:
            return values.encode(value)
        except EncodeError as error:
            raise EncodeError(f"step {name!r}: {error}") from error

    def keep(self, name: str, value: bytes) -> None:
        """Keep *value* at the broker. One after the other: each brings those before it."""
        desk = self._request.desk
        if desk is None:
            return
        with self._turn:
            desk.amend(self._request, self._amended(name, value))

    async def akeep(self, name: str, value: bytes) -> None:
        """The async twin of `keep`."""
        import asyncio

        desk = self._request.desk
        if desk is None:
            return
        if self._aturn is None:
            self._aturn = asyncio.Lock()
        async with self._aturn:
            await desk.aamend(self._request, self._amended(name, value))

    def _amended(self, name: str, value: bytes) -> bytes:
        request = self._request
        known = request.envelope.steps or {}
        amended = msgspec.structs.replace(request.envelope, steps={**known, name: msgspec.Raw(value)})
        limit: int = request.task_object.app.conf.message_max_bytes
        body = envelope.pack(amended)
        if len(body) > limit:
            raise EncodeError(
                f"step {name!r}: arguments and steps of {request.task} take {len(body):,} bytes together, more than "
                f"message_max_bytes ({limit:,}): store the data elsewhere and return a reference"
            )
        request.become(amended)
        return body


def book_of(request: Request) -> Book:
    """The steps of the run of *request*."""
    if request.step_book is None:
        request.step_book = Book(request)
    return cast("Book", request.step_book)


def _request_of(task: Stepping) -> Request:
    request = running.get()
    mine = request is not None and cast("Any", request.task_object) is task
    return request if request is not None and mine else task.request
