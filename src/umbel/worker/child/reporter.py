"""Reporter: tells in events what becomes of the jobs of a child. In its loop, beside them, and never in their way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from umbel.app.watching import Telling, make_teller
from umbel.clock import clock
from umbel.contracts.event_log import EventLog
from umbel.contracts.flows import FlowHolder
from umbel.exceptions import DecodeError
from umbel.execution.executor import Finished
from umbel.journal import MAX_TOGETHER, PERIOD_SECONDS, Journal
from umbel.model.event import AS_TEXT, Event, Kind, Ran
from umbel.model.finding import STEP_SECONDS
from umbel.model.job import FIRST, Delivery
from umbel.model.outcome import Completed, Ignored, Parked, Released, Succeeded
from umbel.model.presence import RunningJob
from umbel.retelling import ran
from umbel.security.redaction import HIDDEN
from umbel.states import STARTED
from umbel.telling import log_at
from umbel.wire import note
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, decode
from umbel.worker.child.ends import Ends
from umbel.worker.child.outcomes import event_of
from umbel.worker.options import ChildOptions

RETRY_SECONDS: Final = 1.0
FAREWELL_SECONDS: Final = 1.0
"""How long, at the end, the log may take to hear what is left."""
_RESULT: Final = "return"
_logger: Final = logging.getLogger("umbel.events")
_HIDDEN: Final = AS_TEXT + f'"{HIDDEN}"'.encode()
_SMALL_BYTES: Final = 16
_SCALARS: Final = frozenset((*range(0x80), *range(0xA0, 0xC1), 0xC2, 0xC3, *range(0xCA, 0xD4), *range(0xE0, 0x100)))
"""With what a number, a truth value or a short text begins, encoded; nil is one, too."""
_MAX_RESULTS: Final = 4096
"""How many small results are remembered as text: most tasks have few different ones."""


@runtime_checkable
class Roster(Protocol):
    """Who knows what runs: the board."""

    def started(self) -> list[RunningJob]:
        """The jobs that have started and have no outcome yet."""
        ...


class _Line(NamedTuple):
    """The successes of one task in one queue: *rows* that may be told as they are, if they are *plain*."""

    task: str
    queue: str
    plain: bool
    hidden: bytes
    rows: list[Ran]


_NO_LINE: Final = _Line("", "", plain=False, hidden=b"", rows=[])


def reporter_of(app: Telling, options: ChildOptions, held: Mapping[str, Delivery], gate: object) -> Reporter | None:
    """The reporter of a child of *app* that has *held*; None if the broker keeps no events."""
    log = log_at(app.broker)
    return None if log is None else Reporter(app, log, options, held, gate)


class Reporter:
    """The events of one session. *held* are the deliveries that are here, by id; *gate* may be a `Roster`."""

    def __init__(
        self, app: Telling, log: EventLog, options: ChildOptions, held: Mapping[str, Delivery], gate: object
    ) -> None:
        """Tell nothing yet."""
        self._app = app
        self._roster = gate if isinstance(gate, Roster) else None
        self.journal = Journal(log, app.conf.event_log_batches, options.session, options.worker)
        self.teller = make_teller(self.journal, app)
        self._held = held
        self._ends = Ends(app.broker.flow_store, self.teller) if isinstance(app.broker, FlowHolder) else None
        self._results: dict[bytes, bytes] = {}
        self._told: set[tuple[str, int]] = set()
        self._waiting: set[str] = set()
        self._look_at = 0.0
        self._enough = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell from now on, until `aclose`; of the jobs that are sent from here, too."""
        made = vars(self._app)
        if self._app.conf.task_send_sent_event and made.get("teller") is None:
            made["teller"] = self.teller
        self._running = asyncio.ensure_future(self._run())

    def settled(self, batch: Sequence[Finished], answers: Sequence[bool]) -> None:
        """The broker has answered to the outcomes of *batch*: those that are ours count."""
        ours = batch if all(answers) else list(compress(batch, answers))
        succeeded = [finished for finished in ours if finished.outcome.__class__ is Succeeded]
        if len(succeeded) < len(ours):
            for finished in ours:
                if finished.outcome.__class__ is not Succeeded:
                    self._ended(finished)
        if self._told:
            for finished in succeeded:
                self._forget(finished.delivery)
        self._well(succeeded)
        if self.journal.full:
            self._enough.set()

    def progressed(self, delivery: Delivery, body: bytes) -> None:
        """The broker has taken the note *body* of a run."""
        self.journal.add(self._progress, (delivery, body), time.time(), len(body))

    async def aclose(self) -> None:
        """Send what is left, if the log takes it within a moment, and tell nothing more."""
        if vars(self._app).get("teller") is self.teller:
            del vars(self._app)["teller"]
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                if self._ends is not None:
                    await self._ends.look(last=True)
                await self.journal.aflush()

    # --- in time

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._enough.wait()
            self._enough.clear()
            if self._held and self._roster is not None and time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + PERIOD_SECONDS * 0.9
                self._look(self._roster.started())
            if self._ends is not None:
                await self._ends.look()
            if not await self.journal.aflush():
                await asyncio.sleep(RETRY_SECONDS)

    def _look(self, running: Sequence[RunningJob]) -> None:
        """Tell of those that have run, or waited, for a moment: what ends sooner says so by its end."""
        now = time.time()
        begun = {job.id for job in running}
        for job in running:
            delivery = self._held.get(job.id)
            if delivery is not None and job.since < now - PERIOD_SECONDS and self._fresh(delivery):
                self.journal.add(self._started, (delivery, job), job.since, len(delivery.envelope))
        waiting = self._held.keys() - begun
        for job_id in waiting & self._waiting:
            delivery = self._held[job_id]
            if self._fresh(delivery, received=True):
                self.journal.add(self._received, delivery, now)
        self._waiting = waiting

    def _fresh(self, delivery: Delivery, *, received: bool = False) -> bool:
        key = (f"{delivery.id}?" if received else delivery.id, delivery.number)
        if key in self._told:
            return False
        self._told.add(key)
        return True

    # --- what to tell of

    def _well(self, succeeded: list[Finished]) -> None:
        """Tell of many jobs that ended well."""
        try:
            self._in_rows(succeeded)
        except Exception:  # a mistake of ours: it costs these events
            _logger.exception("%d events cannot be told", len(succeeded))
            self.journal.lose(len(succeeded))

    def _in_rows(self, succeeded: list[Finished]) -> None:
        """Few calls, and no object that stays: what is done here is done for every job."""
        now = time.time()
        lines: dict[tuple[str, str], _Line] = {}
        task, queue, plain, hidden, rows = _NO_LINE
        rest: list[Finished] = []
        for finished in succeeded:
            delivery = finished.delivery
            outcome: Any = finished.outcome
            if delivery.queue != queue or finished.task != task:
                task, queue, plain, hidden, rows = self._line(lines, finished.task, delivery.queue)
            if finished.follow_ups or outcome.follow_ups:
                self.teller.sent((*finished.follow_ups, *outcome.follow_ups))
            if finished.part is not None or delivery.counts is not FIRST or not plain:
                rest.append(finished)
                continue
            value = outcome.value
            if hidden or value[0] not in _SCALARS:
                value = self._shown(value, hidden)
            rows.append((delivery.id, finished.ended or now, outcome.run, finished.wait, value))
        for line in lines.values():
            self._hand_over(line)
        if rest:
            self._not_in_rows(rest, now)

    def _hand_over(self, line: _Line) -> None:
        for start in range(0, len(line.rows), MAX_TOGETHER):
            self.journal.ran(line.task, line.queue, line.rows[start : start + MAX_TOGETHER])

    def _not_in_rows(self, rest: list[Finished], now: float) -> None:
        if self._ends is not None:
            for finished in rest:
                if finished.part is not None:
                    self._ends.settled(finished.part)
        for start in range(0, len(rest), MAX_TOGETHER):
            part = rest[start : start + MAX_TOGETHER]
            self.journal.add_all(self._succeeded, part, now, _size(part[0]))

    def _ended(self, finished: Finished) -> None:
        delivery, outcome = finished.delivery, finished.outcome
        self._forget(delivery)
        if not isinstance(outcome, Released | Parked):
            at = finished.ended or time.time()
            grave = not isinstance(outcome, Ignored | Completed)
            self.journal.add(self._otherwise, finished, at, len(delivery.envelope), grave=grave)
        if finished.follow_ups:
            self.teller.sent(finished.follow_ups)
        if finished.part is not None and self._ends is not None:
            self._ends.settled(finished.part)

    def _forget(self, delivery: Delivery) -> None:
        self._told -= {(delivery.id, delivery.number), (f"{delivery.id}?", delivery.number)}

    def _succeeded(self, journal: Journal, batch: list[Finished], at: float, tell: bool) -> list[Event]:
        """Those of which more is told than a row, or of which nothing is told, and which are counted here therefore."""
        events: list[Event] = []
        for finished in batch:
            outcome: Any = finished.outcome
            task, queue = finished.task, finished.delivery.queue
            sketch = self.teller.sketch(task)
            row = (finished.delivery.id, finished.ended or at, outcome.run, finished.wait, outcome.value)
            journal.count(task, queue).well((row,))
            if tell and not sketch.silent and self._sampled(finished):
                shown = self._shown(outcome.value, _HIDDEN if _RESULT in sketch.hidden else b"")
                events.append(self._apart(finished, (*row[:4], shown)))
        return events

    def _shown(self, value: bytes, hidden: bytes) -> bytes:
        """What is told of the result *value*: the same if it is a short scalar, which hides nothing; see `Ran`."""
        if not hidden and value[0] in _SCALARS:
            return value
        return hidden or self._results.get(value) or self._result(value)

    def _line(self, lines: dict[tuple[str, str], _Line], task: str, queue: str) -> _Line:
        found = lines.get((task, queue))
        if found is None:
            sketch = self.teller.sketch(task)
            plain = not self.teller.samples and not sketch.silent
            hidden = _HIDDEN if _RESULT in sketch.hidden else b""
            found = lines[task, queue] = _Line(task, queue, plain, hidden, [])
        return found

    def _apart(self, finished: Finished, row: Ran) -> Event:
        """The event of one that is more than its *row*: of a flow, or not at its first attempt."""
        (event,) = ran(finished.task, finished.delivery.queue, (row,))
        envelope = b"" if finished.part is None else self._described(finished.delivery, event.body)
        return msgspec.structs.replace(event, attempt=finished.delivery.attempt, envelope=envelope)

    def _result(self, value: bytes) -> bytes:
        text = AS_TEXT + self.teller.redaction.value(value).encode()
        if len(value) <= _SMALL_BYTES and len(self._results) < _MAX_RESULTS:
            self._results[value] = text
        return text

    def _otherwise(self, journal: Journal, finished: Finished, at: float, tell: bool) -> Event | None:
        count = journal.count(finished.task, finished.delivery.queue)
        kind, body = event_of(finished, at, count)
        silent = self.teller.sketch(finished.task).silent
        if not tell or silent or (kind == "task-succeeded" and not self._sampled(finished)):
            return None
        return self._event(kind, finished, at, body, whole=kind not in ("task-succeeded", "task-rejected"))

    def _sampled(self, finished: Finished) -> bool:
        return self.teller.telling(finished.delivery.id, finished.task)

    def _event(self, kind: Kind, finished: Finished, at: float, body: dict[str, Any], *, whole: bool) -> Event:
        """An event of a run; *whole*: with what the job is, as its producer may have told nobody."""
        delivery, envelope = finished.delivery, b""
        if whole:
            envelope = self._described(delivery, body)
        return Event(kind, at, delivery.id, finished.task, delivery.queue, delivery.attempt, body, envelope)

    def _described(self, delivery: Delivery, body: dict[str, Any]) -> bytes:
        envelope = _read(delivery)
        if envelope is None:
            return b""
        body.update(self.teller.described(envelope))
        if envelope.replaced:
            return b""  # what it was when it was sent has been told: it is sent again as that
        return self.teller.sealed(envelope.task, delivery.envelope)

    def _started(self, journal: Journal, subject: tuple[Delivery, RunningJob], at: float, tell: bool) -> Event | None:
        del journal  # the end counts
        delivery, job = subject
        if not tell or not self.teller.telling(delivery.id, job.task):
            return None
        envelope, body, whole = _read(delivery), dict[str, Any](), b""
        if envelope is not None:
            wait = at + clock.ahead - envelope.due
            if delivery.attempt == 1 and envelope.due and wait > -STEP_SECONDS:  # else the clocks of two hosts differ
                body["wait"] = max(0.0, wait)
            if envelope.part is not None:
                whole = self._described(delivery, body)
        return Event("task-started", at, delivery.id, job.task, delivery.queue, delivery.attempt, body, whole)

    def _received(self, journal: Journal, delivery: Delivery, at: float, tell: bool) -> Event | None:
        del journal
        envelope = _read(delivery) if tell else None
        if envelope is None or not self.teller.telling(delivery.id, envelope.task):
            return None
        return Event("task-received", at, delivery.id, envelope.task, delivery.queue, delivery.attempt)

    def _progress(self, journal: Journal, subject: tuple[Delivery, bytes], at: float, tell: bool) -> Event | None:
        del journal
        delivery, body = subject
        said, envelope = note.decode(body), _read(delivery) if tell else None
        if envelope is None or said.state == STARTED or not self.teller.telling(delivery.id, envelope.task):
            return None
        told = {"state": said.state, "meta": self.teller.redaction.value(said.meta)}
        return Event("task-progress", at, delivery.id, envelope.task, delivery.queue, delivery.attempt, told)


def _read(delivery: Delivery) -> Envelope | None:
    try:
        return decode(delivery.envelope, MAX_LINK_BYTES)
    except DecodeError:
        return None


def _size(finished: Finished) -> int:
    return len(getattr(finished.outcome, "value", b""))
