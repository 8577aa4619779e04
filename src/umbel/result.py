"""AsyncResult: the handle of a job. Waits for its terminal record, returns the value or raises the task's error."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, Unpack, cast

import msgspec

from umbel.asking import FETCH, FORGET, Question, Returning, Source
from umbel.chosen import find_app
from umbel.engines.address import masked
from umbel.engines.operation import Operation, adrive, drive
from umbel.events import Events, told
from umbel.exceptions import TimeoutError, UnknownResult
from umbel.lineage import Lineage
from umbel.looking import Looking
from umbel.model.ids import flow_of, unpacked_id
from umbel.model.outcome import Result
from umbel.options import GET_OPTIONS, GetOptions, check_names
from umbel.remote import error_of
from umbel.request import running
from umbel.revocable import Revocable
from umbel.states import IGNORED, PROPAGATE_STATES, REVOKED, SUCCESS
from umbel.wire import record, values

if TYPE_CHECKING:
    from umbel.canvas.results import GroupResult, ResultSet
    from umbel.canvas.saving import result_from_tuple

__all__ = [
    "FIRST_LOOK_SECONDS",
    "LOOK_AGAIN_SECONDS",
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "allow_join_result",
    "denied_join_result",
    "result_from_tuple",
]

R_co = TypeVar("R_co", covariant=True)

FIRST_LOOK_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 10.0
"""How often a long wait asks whether the job can still end: it may have been purged, or its record forgotten."""


_OVER: Final = ("unknown", "ended", "dead")


class AsyncResult(Looking, Revocable, Lineage, msgspec.Struct, Generic[R_co], eq=False, weakref=True):
    """The handle of one job, made by a call or by ``app.AsyncResult(id)``. Its text is the id, and it equals its id.

    *task* knows how to read the value, *queue* is a hint where to look; *ignored* says that there will be no result.
    """

    id: str
    app: Source = msgspec.field(default_factory=find_app)
    """The app; by default the current one."""
    task: Returning | None = None
    queue: str | None = None
    ignored: bool = False
    settled: Result | None = None
    parent: Any = None
    """The handle of what comes before it in its canvas: an `AsyncResult` or a `GroupResult`."""
    flow: str | None = None
    """The flow that its job belongs to."""
    next: list[Any] = []
    """The handles of what comes after it in its canvas."""

    # --- waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        **options: Unpack[GetOptions],
    ) -> R_co:
        """Wait for the result and return it, or raise the task's error.

        *timeout* is in seconds; None waits as long as the job can end. Raises `TimeoutError`, `TaskRevokedError`,
        `UnknownResult` when the result can never arrive, `RuntimeError` inside a task (see `allow_join_result`). With
        *propagate* false an error is returned instead. *callback* is called with the id and what is returned.
        """
        self.check_place(options)
        found = drive(self._wait(timeout, options), self.ask)
        return self._called_back(self._outcome(found, propagate), callback)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        **options: Unpack[GetOptions],
    ) -> R_co:
        """The async twin of `get`."""
        self.check_place(options)
        found = await adrive(self._wait(timeout, options), self.aask)
        return self._called_back(self._outcome(found, propagate), callback)

    def _called_back(self, value: R_co, callback: Callable[[str, Any], object] | None) -> R_co:  # type: ignore[misc]
        if callback is not None:
            callback(self.id, value)
        return value

    wait = get

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.aget().__await__()

    # --- looking

    def events(self, timeout: float | None = None) -> Events:
        """The changes of state, info or place, each as a `Sight`, until the end: ``async for event in r.events()``.

        Also for ``for``. Raises `TimeoutError` when the end has not come within *timeout* seconds, `UnknownResult` for
        a job that is unknown.
        """
        return Events(self, timeout)

    @property
    def result(self) -> R_co | Exception | None:
        """The same as `info`, which see: the value or the error of a job that has ended."""
        return cast("R_co | Exception | None", self.info)

    @property
    def children(self) -> list[Any]:
        """The handles of what comes after it, as far as they are known here, and of the jobs that its task has sent."""
        found = self._found()
        known = {handle.id for handle in self.next}
        sent = [] if found is None else [job_id for job_id in map(unpacked_id, found.children) if job_id not in known]
        return [*self.next, *(AsyncResult[Any](job_id, self.app) for job_id in sent)]

    def maybe_throw(self, propagate: bool = True) -> None:
        """Raise the task's error if the job has ended with one; never waits."""
        found = self._found()
        if found is not None and found.state in PROPAGATE_STATES:
            self._outcome(found, propagate)

    maybe_reraise = maybe_throw

    # --- letting go

    def forget(self) -> None:
        """Delete the record; nobody can get the result any more."""
        self.settled = None
        drive(_forget(), self.ask)

    async def aforget(self) -> None:
        """The async twin of `forget`."""
        self.settled = None
        await adrive(_forget(), self.aask)

    def job_keys(self) -> list[tuple[str, str | None]]:
        """Its id and, if it is known, its queue."""
        return [(self.id, self.queue)]

    # --- the operations, each written once

    def _wait(self, timeout: float | None, options: GetOptions) -> Operation[Question, Result]:
        self._refuse_unless_kept()
        if options.get("on_message") is not None or options.get("on_interval") is not None:
            yield from told(self, timeout, options)
        if self.settled is not None:
            return self.settled
        deadline = None if timeout is None else time.monotonic() + timeout
        raw: bytes | None = None
        # A handle with a queue was made by a send: its job is known, and waiting may begin at once.
        if self.queue is None:
            raw = yield FETCH
            if raw is None:
                raw = yield from self.record_of_known()
        patience = FIRST_LOOK_SECONDS
        while raw is None:
            left = patience if deadline is None else min(deadline - time.monotonic(), patience)
            raw = yield FETCH if left <= 0 else Question("watch", left)
            if raw is None and deadline is not None and deadline <= time.monotonic():
                raise TimeoutError(f"the result of {self._shown} did not arrive within {timeout:g} s")
            if raw is None:
                raw = yield from self.record_of_known()
                patience = LOOK_AGAIN_SECONDS
        return self.keep(raw)

    def record_of_known(self) -> Operation[Question, bytes | None]:
        """The record of a job that has just ended, None for one that can still end. Raises `UnknownResult`."""
        location = yield from self.located()
        if location.place not in _OVER:
            return None
        if location.place == "unknown" and (yield Question("flow", flow=self.flow or flow_of(self.id))):
            return None  # not sent yet: its flow has not come so far
        raw: bytes | None = yield FETCH  # it may have ended between the two looks
        if raw is not None:
            return raw
        if location.place == "unknown":
            raise UnknownResult(
                f"job {self._shown} is unknown: it was not sent to {masked(self.app.conf.broker_url)}, "
                "or was purged, or its result was forgotten or has expired"
            )
        raise UnknownResult(
            f"job {self._shown} has ended without a result: it is ignored, was forgotten or has expired"
        )

    # --- reading a record

    def keep(self, raw: bytes) -> Result:
        """The result in the record *raw*, which is not asked for again. Raises `UnknownResult` for an empty one."""
        if not raw:
            raise UnknownResult(f"job {self._shown} has ended, and its result is ignored")
        self.settled = record.decode(raw)
        return self.settled

    def value_of(self, found: Result) -> R_co | Exception | None:
        """The value, or the error, in *found*; None if its task raised Ignore."""
        return None if found.state == IGNORED else self._outcome(found, propagate=False)

    def _outcome(self, found: Result, propagate: bool) -> R_co:
        if found.state == SUCCESS:
            task = self.task or self.app.tasks.get(found.task)
            value = values.decode(found.value) if task is None else task.decode_result(found.value)
            return cast("R_co", value)
        if found.state == IGNORED:
            raise UnknownResult(f"job {self._shown} has ended without a result: its task raised Ignore")
        error = error_of(found, self.app.exceptions)
        if propagate:
            raise error
        return cast("R_co", error)  # Celery's meaning of propagate=False

    def _refuse_unless_kept(self) -> None:
        if self.settled is not None:
            return
        if self.app.conf.result_backend.startswith("disabled"):
            raise UnknownResult(f"the result of {self._shown} is not kept: result_backend is disabled://")
        if self.ignored:
            raise UnknownResult(f"the result of {self._shown} is ignored: the call, its task or a setting says so")

    def check_place(self, options: GetOptions) -> None:
        """Raise `RuntimeError` where waiting for a result is refused, `TypeError` for an unknown one of *options*."""
        if not options.keys() <= GET_OPTIONS:
            check_names(options, GET_OPTIONS, "get")
        if running.get() is not None and options.get("disable_sync_subtasks", True) and not _joining.get():
            raise RuntimeError(
                "get() inside a task holds a slot that the awaited job may need: return, or send what comes next "
                "instead; if it cannot block, wrap it in `with allow_join_result():`"
            )

    @property
    def _shown(self) -> str:
        return f"{self.id} ({self.task.name})" if self.task is not None else self.id

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return bool(self.id == other.id)
        return self.id == other if isinstance(other, str) else NotImplemented


class EagerResult(AsyncResult[R_co]):
    """The handle of a job that was run in place: it is ready from the start."""

    def forget(self) -> None:
        """Nothing: no record was stored."""

    async def aforget(self) -> None:
        """The async twin of `forget`."""

    def revoke(self, *, terminate: bool = False, signal: str | int | None = None) -> None:
        """Show it as REVOKED, as Celery does: it has run already."""
        del terminate, signal
        self.settled = Result(REVOKED)

    async def arevoke(self, *, terminate: bool = False, signal: str | int | None = None) -> None:
        """The async twin of `revoke`."""
        self.revoke(terminate=terminate, signal=signal)


_joining: Final[ContextVar[bool]] = ContextVar("umbel_joining", default=False)


@contextmanager
def allow_join_result() -> Generator[None]:
    """Allow `AsyncResult.get` inside a task for the length of a ``with`` block."""
    token = _joining.set(True)
    try:
        yield
    finally:
        _joining.reset(token)


@contextmanager
def denied_join_result() -> Generator[None]:
    """Deny it again for the length of a ``with`` block."""
    token = _joining.set(False)
    try:
        yield
    finally:
        _joining.reset(token)


def _forget() -> Operation[Question, None]:
    yield FORGET


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Celery has these here, too; what is made of several is built upon this module.
        if name in ("GroupResult", "ResultSet", "result_from_tuple"):
            return getattr(import_module("umbel.canvas"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
