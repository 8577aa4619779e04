"""Events: `app.events` follows what happens to jobs, flows, schedules and workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias, TypedDict, Unpack

import msgspec

from umbel.app.seat import Seat, place_of, waited
from umbel.contracts.capabilities import Power, demand
from umbel.contracts.event_log import NOW, EventLog, EventLogHolder
from umbel.exceptions import BrokerUnavailable, DecodeError, ImproperlyConfigured
from umbel.model import chance
from umbel.model.event import KINDS, Batch, Event
from umbel.options import check_names, nearest
from umbel.retelling import read

PAGE: Final = 100
"""How many batches are read at once."""
WAIT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
MAX_SOURCES: Final = 10_000
_logger: Final = logging.getLogger("umbel.events")

Handler: TypeAlias = Callable[[dict[str, Any]], object]


class Occurrence(msgspec.Struct, frozen=True, gc=False):
    """An event as it is read: what happened (*kind*), when, to what; `docs/events.md` says what *body* has.

    *id* is the job's, or the flow's, or the name of the schedule or worker. *worker* is the name of the worker that
    says it, empty for a producer; *source* the session or producer.
    """

    kind: str
    at: float
    id: str
    task: str
    queue: str
    attempt: int
    worker: str
    source: str
    body: dict[str, Any]


class Patterns(TypedDict, total=False):
    """What events may be asked for by, beside their kind."""

    task: str
    queue: str
    id: str
    worker: str


PATTERNS: Final = frozenset(Patterns.__annotations__)


class Wanted(msgspec.Struct, frozen=True):
    """What is let through: patterns, with ``*`` for anything; empty: all."""

    kind: str = ""
    task: str = ""
    queue: str = ""
    id: str = ""
    worker: str = ""

    def fits(self, event: Event, worker: str) -> bool:
        """Whether *event*, which *worker* says, is wanted."""
        return (
            _fits(event.kind, self.kind)
            and _fits(event.task, self.task)
            and _fits(event.queue, self.queue)
            and _fits(event.id, self.id)
            and _fits(worker, self.worker)
        )


class Stream:
    """Events as they come, for ``for`` and ``async for``; ends *timeout* seconds after it began (None: never).

    *lost* counts the events that were dropped where they happened, or whose batch was not seen. A broker that is away
    is waited for.
    """

    def __init__(self, seat: Seat, wanted: Wanted, after: str, timeout: float | None) -> None:
        """Read nothing yet. Raises `ImproperlyConfigured` for a broker that keeps no events."""
        self._seat = seat
        self._log = _log(seat)
        self._wanted = wanted
        self._after = after
        self._timeout = timeout
        self._numbers: dict[str, int] = {}
        self.lost = 0

    def __iter__(self) -> Iterator[Occurrence]:
        end = self._end()
        while True:
            found = waited(self._seat, self._next(end))
            if found is None:
                return
            yield from found

    async def __aiter__(self) -> AsyncIterator[Occurrence]:
        end = self._end()
        while (found := await self._next(end)) is not None:
            for one in found:
                yield one

    async def start(self) -> None:
        """Begin now: what happens from here on is not missed."""
        if self._after == NOW:
            self._after = await self._log.end()

    def _end(self) -> float:
        return float("inf") if self._timeout is None else time.monotonic() + self._timeout

    async def _next(self, end: float) -> list[Occurrence] | None:
        """What comes next, perhaps nothing yet; None when the time is over."""
        left = end - time.monotonic()
        if left <= 0:
            return None
        try:
            await self.start()
            kept = await self._log.read(self._after, PAGE, min(left, WAIT_SECONDS))
        except BrokerUnavailable as error:
            _logger.info("no events, trying again: %s", error)
            await asyncio.sleep(min(left, RETRY_SECONDS * chance.random()))
            return []
        found: list[Occurrence] = []
        for one in kept:
            self._after = one.cursor
            with contextlib.suppress(DecodeError):
                found += self._wanted_of(read(one.batch))
        return found

    def _wanted_of(self, batch: Batch) -> list[Occurrence]:
        last = self._numbers.get(batch.source)
        if last is not None and batch.number <= last:
            return []  # one that was sent twice, as its answer was lost
        if len(self._numbers) >= MAX_SOURCES:
            del self._numbers[next(iter(self._numbers))]
        self._numbers[batch.source] = batch.number
        self.lost += batch.dropped + (0 if last is None else batch.number - last - 1)
        return [_seen(event, batch) for event in batch.events if self._wanted.fits(event, batch.worker)]


class Events:
    """``app.events(…)`` answers a `Stream`. Patterns may have ``*`` in them: ``app.events(task="mail.*")``.

    *after*: "$" begins now, "" with the oldest that the broker still keeps.
    """

    def __init__(self, seat: Seat) -> None:
        """Read the log of the broker of *seat*."""
        self._seat = seat

    def __call__(
        self, kind: str = "", *, after: str = NOW, timeout: float | None = None, **patterns: Unpack[Patterns]
    ) -> Stream:
        """The events that fit. Raises `ImproperlyConfigured` if the broker keeps none, and `ValueError`."""
        check_names(patterns, PATTERNS, "app.events")
        if not any(_fits(each, kind) for each in KINDS):
            raise ValueError(f"there are no events of the kind {kind!r}{nearest(kind, KINDS) or f': {_listed()}'}")
        return Stream(self._seat, Wanted(kind, **patterns), after, timeout)

    def Receiver(  # noqa: N802 - Celery's name
        self, connection: object = None, handlers: Mapping[str, Handler] | None = None
    ) -> Receiver:
        """Celery's: has *handlers* told of events, by their type or ``*``. A connection is not needed."""
        del connection
        return Receiver(self._seat, handlers or {})


class Receiver:
    """Hands events to functions, as dicts in Celery's form."""

    def __init__(self, seat: Seat, handlers: Mapping[str, Handler]) -> None:
        """Hear nothing yet."""
        self._seat = seat
        self.handlers = dict(handlers)

    def capture(self, limit: int | None = None, timeout: float | None = None, *, wakeup: bool = True) -> None:
        """Hand over what happens from now on: *limit* events, or for *timeout* seconds; blocks.

        *wakeup* had Celery's workers say that they are there: here they say it every 5 seconds.
        """
        del wakeup
        left = limit
        for event in Stream(self._seat, Wanted(), NOW, timeout):
            if left is not None and left <= 0:
                return
            handler = self.handlers.get(event.kind) or self.handlers.get("*")
            if handler is not None:
                handler(as_celery(event))
            left = None if left is None else left - 1


def as_celery(event: Occurrence) -> dict[str, Any]:
    """*event* as Celery's receivers are told it."""
    told = {**event.body, "type": event.kind, "timestamp": event.at, "hostname": event.worker}
    if event.kind.startswith("task-"):
        told.update(uuid=event.id, name=event.task, queue=event.queue, retries=max(0, event.attempt - 1))
        for theirs, ours in _NAMES.items():
            if ours in event.body:
                told[theirs] = told.pop(ours)
    elif event.kind.startswith("worker-"):
        told["hostname"] = event.id
    return told


_NAMES: Final = {"runtime": "run", "exception": "error", "root_id": "root", "parent_id": "parent"}


def _seen(event: Event, batch: Batch) -> Occurrence:
    return Occurrence(
        event.kind, event.at, event.id, event.task, event.queue, event.attempt, batch.worker, batch.source, event.body
    )


def _listed() -> str:
    return f"there are {', '.join(KINDS)}"


def _fits(text: str, pattern: str) -> bool:
    return not pattern or text == pattern or fnmatchcase(text, pattern)


def _log(seat: Seat) -> EventLog:
    broker = seat.broker
    demand(broker, Power.EVENTS, "app.events", place_of(seat))
    if not isinstance(broker, EventLogHolder):
        raise ImproperlyConfigured(f"{type(broker).__name__} says that it keeps events, and has no event_log")
    return broker.event_log
