"""Journal: collects what happens in this process until it leaves for the log of events, in batches. Bounded.

Nothing waits for it: a log that is away costs events, which are counted then, and never a job.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from umbel.aligning import aligned
from umbel.clock import clock
from umbel.contracts.event_log import EventLog
from umbel.exceptions import EncodeError, UmbelError
from umbel.model.event import (
    MAX_BATCH_BYTES,
    MAX_EVENTS,
    Batch,
    Event,
    Ran,
    Runs,
    Sends,
    Sent,
    Tally,
    bucket_of,
    buckets_of,
)
from umbel.model.ids import new_session
from umbel.wire.events import encode, pack, unpack

if TYPE_CHECKING:
    import asyncio

MAX_HELD: Final = 10_000
MAX_HELD_BYTES: Final = 4 * 1024 * 1024
"""How much waits here at most; above it the oldest go, those of jobs that came to no harm first."""
MAX_TOGETHER: Final = 256
"""How many events are made at once at most: four such lots are a batch."""
EVENT_BYTES: Final = 200
"""About how much an event takes without what its job brings along."""
PERIOD_SECONDS: Final = 0.25
"""How long an event waits for others to go with it."""

_MOMENT: Final = attrgetter("at")
_logger: Final = logging.getLogger("umbel.events")

Making: TypeAlias = Callable[["Journal", Any, float, bool], Event | None]
"""Counts what happened, a subject at a unix time, in the journal, and makes its event if it is to be told (True)."""
MakingAll: TypeAlias = Callable[["Journal", list[Any], float, bool], list[Event]]
"""The same for several subjects at once, which costs less."""


class Count:
    """What was counted for one (task, queue); see `Tally`. Changed by a `Making` alone."""

    __slots__ = ("dead", "failed", "retried", "revoked", "runs", "sent", "succeeded", "waits")

    def __init__(self) -> None:
        self.sent = self.succeeded = self.failed = self.retried = self.revoked = self.dead = 0
        self.waits: dict[int, int] = {}
        self.runs: dict[int, int] = {}

    def waited(self, seconds: float) -> None:
        """A job was due for *seconds* when it started first."""
        bucket = bucket_of(seconds)
        self.waits[bucket] = self.waits.get(bucket, 0) + 1

    def ran(self, seconds: float) -> None:
        """An attempt took *seconds*."""
        bucket = bucket_of(seconds)
        self.runs[bucket] = self.runs.get(bucket, 0) + 1

    def well(self, rows: Sequence[Ran]) -> None:
        """Jobs have succeeded; the same as one by one, for less."""
        self.succeeded += len(rows)
        _put(self.runs, buckets_of([row[2] for row in rows]))
        _put(self.waits, buckets_of([row[3] for row in rows if row[3] >= 0]))

    def tally(self, task: str, queue: str, at: float) -> Tally:
        """All of it as a value."""
        return Tally(
            task,
            queue,
            at,
            self.sent,
            self.succeeded,
            self.failed,
            self.retried,
            self.revoked,
            self.dead,
            self.waits,
            self.runs,
        )


def _put(histogram: dict[int, int], more: dict[int, int]) -> None:
    for bucket, number in more.items():
        histogram[bucket] = histogram.get(bucket, 0) + number


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What happened, not yet looked at: most of the work is done when it leaves, and none for what is dropped."""

    make: Making | MakingAll
    subject: Any
    at: float
    size: int
    count: int = 1
    """How many events it may make."""


class Journal:
    """What one *source* (a session, or a producer) has to say, on its way to *log*, which keeps *bound* batches.

    `add` may be called from any thread; one thread at a time calls `flush`, or one task `aflush`.
    """

    def __init__(self, log: EventLog, bound: int, source: str = "", worker: str = "") -> None:
        """*worker* is the name of the worker that the source belongs to; empty for a producer."""
        self._log = log
        self._bound = bound
        self._worker = worker
        self.words: tuple[str, ...] = ()
        """Of names whose values are hidden from view; see `Redaction`."""
        self.wake: Callable[[], object] | None = None
        """Called when something was added to an empty journal."""
        self.look: Callable[[], None] | None = None
        """Called now and then, before a batch is made, by whoever carries it in a thread."""
        self._begin(source or new_session())
        _alive.add(self)

    def _begin(self, source: str) -> None:
        self._source = source
        self._number = 0
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._light: deque[Entry] = deque()
        self._grave: deque[Entry] = deque()
        self._bytes = self._held = self._gone = self._dropped = 0
        self._told = False
        self._counts: dict[tuple[str, str], Count] = {}
        self._runs: list[Runs] = []
        self._sends: dict[tuple[str, str, tuple[str, ...]], list[Sent]] = {}
        self._pending: bytes | None = None
        self._sending: asyncio.Future[None] | None = None
        self._trouble = False

    def renew(self) -> None:
        """In a forked process: begin as another source; what was not sent is the parent's to send."""
        self._begin(new_session())

    @property
    def full(self) -> bool:
        """Whether there is enough for a batch."""
        return self._held >= MAX_EVENTS or self._bytes >= MAX_BATCH_BYTES

    @property
    def empty(self) -> bool:
        """Whether nothing waits here that has happened."""
        return not self._held

    @property
    def idle(self) -> bool:
        """Whether there is nothing at all to send, nor on its way."""
        return self._pending is None and not (self._held or self._counts or self._dropped)

    @property
    def away(self) -> bool:
        """Whether the log did not take the last batch."""
        return self._trouble

    def add(self, make: Making, subject: Any, at: float, size: int = 0, *, grave: bool = False) -> None:
        """Have *make* tell of *subject*, about *size* bytes large, when it leaves. What is *grave* is dropped last."""
        self._add(Entry(make, subject, at, EVENT_BYTES + size), self._grave if grave else self._light)

    def add_all(self, make: MakingAll, subjects: list[Any], at: float, size: int = 0) -> None:
        """Have *make* tell of *subjects*, no more than `MAX_TOGETHER`, of which each is about *size* bytes large."""
        count = len(subjects)
        self._add(Entry(make, subjects, at, count * (EVENT_BYTES + size), count), self._light)

    def _add(self, entry: Entry, held: deque[Entry]) -> None:
        with self._lock:
            held.append(entry)
            self._bytes += entry.size
            self._held += entry.count
            while self._bytes > MAX_HELD_BYTES or self._held > MAX_HELD:
                self._drop()
            told, self._told = self._told, True
        if not told and self.wake is not None:
            self.wake()

    def count(self, task: str, queue: str) -> Count:
        """What is counted for (*task*, *queue*)."""
        found = self._counts.get((task, queue))
        if found is None:
            found = self._counts[task, queue] = Count()
        return found

    def ran(self, task: str, queue: str, rows: list[Ran]) -> None:
        """Tell of plain successes of (*task*, *queue*), no more than `MAX_TOGETHER`; they are counted by who reads.

        They are bytes from now on: thousands of objects that wait here would cost more than to make those.
        """
        packed = pack(rows)
        self._add(Entry(_ran, (task, queue, packed), 0.0, len(packed), len(rows)), self._light)

    def tell_of(self, runs: Runs) -> None:
        """Where a `Making` puts plain successes to be told."""
        self._runs.append(runs)

    def lose(self, count: int) -> None:
        """So many events cannot be told."""
        with self._counting:
            self._dropped += count

    def sent(self, task: str, queue: str, names: tuple[str, ...]) -> list[Sent]:
        """Where a `Making` puts jobs of (*task*, *queue*) to be told as they are; *names* as in `Sends`."""
        return self._sends.setdefault((task, queue, names), [])

    def flush(self) -> bool:
        """Send all that is here; tells whether the log took it. Raises nothing.

        What comes meanwhile waits for more to go with it: a batch of a few events costs as much as one of many.
        """
        with self._turn:
            upto = self._gone + self._held
            while (batch := self._next()) is not None:
                try:
                    self._log.append((batch,), self._bound)
                except Exception as error:  # noqa: BLE001 - whatever it is, no job may suffer from it
                    return self._refused(error)
                self._taken()
                if self._gone >= upto:
                    break
        return True

    async def aflush(self) -> bool:
        """The async twin of `flush`. If it is cancelled, what is on its way goes on, and the next one waits for it."""
        import asyncio  # a producer without a loop has no use for it

        upto = self._gone + self._held
        while (batch := self._next()) is not None:
            if self._sending is None:
                self._sending = asyncio.ensure_future(self._log.aappend((batch,), self._bound))
                self._sending.add_done_callback(_seen)
            try:
                await asyncio.shield(self._sending)
            except Exception as error:  # noqa: BLE001 - as above
                self._sending = None
                return self._refused(error)
            self._sending = None
            self._taken()
            if self._gone >= upto:
                break
        return True

    # --- making batches

    def _next(self) -> bytes | None:
        """The batch whose turn it is: the same one until it was taken, for the answer may have been lost."""
        if self._pending is None:
            self._told = False
            self._pending = self._batch()
        return self._pending

    def _taken(self) -> None:
        self._pending = None
        self._trouble = False

    def _batch(self) -> bytes | None:
        with self._lock:
            entries = self._pop()
        with self._counting:
            events = [event for entry in entries for event in self._made(entry, tell=True)]
            counts, self._counts = self._counts, {}
            runs, self._runs = self._runs, []
            sends, self._sends = self._sends, {}
            dropped, self._dropped = self._dropped, 0
        if not (events or runs or sends or counts or dropped):
            return None
        self._number += 1
        now = time.time()
        events.sort(key=_MOMENT)
        return self._encoded(
            Batch(
                self._source,
                self._number,
                now,
                tuple(events),
                tuple([count.tally(task, queue, now) for (task, queue), count in counts.items()]),
                dropped,
                worker=self._worker,
                runs=tuple(runs),
                sends=tuple([Sends(*key, rows) for key, rows in sends.items() if rows]),
                words=self.words if sends else (),
            ),
            sum(entry.count for entry in entries),
        )

    def _encoded(self, batch: Batch, count: int) -> bytes:
        """*batch*, which tells of about *count* events, as bytes; its moments are on the engine's clock."""
        try:
            return encode(aligned(batch, clock.ahead) if clock.ahead else batch)
        except (EncodeError, UnicodeEncodeError, TypeError, OverflowError, ValueError):
            _logger.exception("%d events cannot travel", count)
            few = msgspec.structs.replace(batch, events=(), runs=(), sends=(), dropped=batch.dropped + count)
            return encode(few)

    def _pop(self) -> list[Entry]:
        """What makes one batch: no more than `MAX_EVENTS`, about `MAX_BATCH_BYTES`."""
        entries: list[Entry] = []
        size = count = 0
        while size < MAX_BATCH_BYTES and (held := self._grave or self._light):
            if count + held[0].count > MAX_EVENTS:
                break
            entries.append(held.popleft())
            size += entries[-1].size
            count += entries[-1].count
        self._left(size, count)
        return entries

    def _left(self, size: int, count: int) -> None:
        self._bytes -= size
        self._held -= count
        self._gone += count

    def _drop(self) -> None:
        entry = (self._light or self._grave).popleft()
        self._left(entry.size, entry.count)
        with self._counting:
            self._dropped += entry.count
            self._made(entry, tell=False)

    def _made(self, entry: Entry, *, tell: bool) -> Sequence[Event]:
        try:
            made = entry.make(self, entry.subject, entry.at, tell)
        except Exception:  # a mistake of ours: it costs these events
            _logger.exception("an event cannot be told")
            self._dropped += entry.count if tell else 0
            return ()
        if isinstance(made, list):
            return made
        return () if made is None else (made,)

    def _refused(self, error: Exception) -> bool:
        if not self._trouble:
            level = logging.INFO if isinstance(error, UmbelError | OSError | TimeoutError) else logging.ERROR
            _logger.log(level, "events cannot be sent, trying again: %s: %s", type(error).__name__, error)
        self._trouble = True
        return False


def _ran(journal: Journal, subject: tuple[str, str, bytes], at: float, tell: bool) -> None:
    """Plain successes, packed: who reads counts them, but for those that nobody reads."""
    del at
    task, queue, packed = subject
    if tell:
        journal.tell_of(Runs(task, queue, cast("Sequence[Ran]", msgspec.Raw(packed))))  # sent as it is
    else:
        journal.count(task, queue).well(unpack(packed))


def _seen(sending: asyncio.Future[None]) -> None:
    """Look at how *sending* ended: nobody else may do so after a cancellation."""
    if not sending.cancelled():
        sending.exception()


_alive: Final[weakref.WeakSet[Journal]] = weakref.WeakSet()


def _renew_all() -> None:
    for journal in list(_alive):
        journal.renew()


os.register_at_fork(after_in_child=_renew_all)
