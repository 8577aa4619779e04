"""Ingest: batches into the tables, one transaction for many. All is read first, then decided, then written."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from umbel.contracts.history import Archive, Transaction
from umbel.history import bodies, minutes, others
from umbel.history.admission import admitted
from umbel.history.bodies import Body
from umbel.history.bounds import MAX_VALUES, milliseconds, moment, short, text
from umbel.history.counters import Counters
from umbel.history.envelopes import ZLIB_LEVEL
from umbel.history.errors import MAX_MESSAGE, MAX_TRACEBACK, ErrorCounts, failed_before, fingerprint_of, numbered
from umbel.history.flows import FlowCounts
from umbel.history.names import Names, Naming, Sort
from umbel.history.plain import Plain
from umbel.history.record import CHANGING, COLUMNS, GIVEN, JobRecord, Sight, attempt_of, first_seen, fold
from umbel.history.rollups import add_tallies
from umbel.history.states import CODES, STEPS, step_of
from umbel.model.event import MAX_ENVELOPE_BYTES, Batch, Event

_given: Final = attrgetter("seq", *GIVEN)
_changing: Final = attrgetter("seq", *CHANGING)
"""Rows for the statements of these names."""


class Written(msgspec.Struct, frozen=True):
    """What became of batches: how many were new, and how many events those had."""

    batches: int
    events: int


class _Body(msgspec.Struct):
    """What stands apart from the row of a job; fields as columns, and its result."""

    attempt: int = 0
    envelope: bytes | None = None
    args: str | None = None
    kwargs: str | None = None
    headers: str | None = None
    result: str | None = None

    @property
    def tells(self) -> bool:
        """Whether it says more than a result."""
        return self.envelope is not None or bool(self.args or self.kwargs or self.headers)


class Ingest:
    """Writes batches into *archive*. Any number of recorders may do so at once; a batch counts once."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._names = Names()

    def write(self, batches: Sequence[Batch], now: float, notes: Sequence[tuple[str, str]] = ()) -> Written:
        """Write *batches*, read at *now*, and with them *notes* (key and value, such as a cursor): all or none."""

        def step(transaction: Transaction) -> tuple[Written, dict[Any, int]]:
            counters = Counters(transaction)
            naming = Naming(transaction, self._names, counters)
            fresh = admitted(transaction, naming, batches, now)
            _Writing(transaction, counters, naming, now).write(fresh)
            for key, value in notes:
                transaction.rows("ingest.put_meta", key, value)
            counters.save()
            return Written(len(fresh), sum(map(told_by, fresh))), naming.found

        written, found = self._archive.write(step)
        self._names.learn(found)
        return written

    def correct(self, events: Sequence[Event], now: float) -> None:
        """Let the history know of *events* that nobody sent, but that were found out."""
        if events:
            self._archive.write(lambda transaction: self._corrected(transaction, events, now))

    def _corrected(self, transaction: Transaction, events: Sequence[Event], now: float) -> None:
        counters = Counters(transaction)
        naming = Naming(transaction, Names(), counters)
        _Writing(transaction, counters, naming, now).write([Batch("", 1, now, tuple(events))])
        counters.save()


def told_by(batch: Batch) -> int:
    """How many events *batch* has, those among its rows too."""
    return (
        len(batch.events) + sum([len(each.rows) for each in batch.runs]) + sum([len(each.rows) for each in batch.sends])
    )


class _Writing:
    """One transaction's worth of events."""

    def __init__(self, transaction: Transaction, counters: Counters, naming: Naming, now: float) -> None:
        self._transaction = transaction
        self._counters = counters
        self._naming = naming
        self._now = now
        self._old: dict[str, JobRecord] = {}
        self._new: dict[str, JobRecord] = {}
        self._bodies: dict[int, _Body] = {}
        self._attempts: dict[tuple[int, int], list[Any]] = {}
        self._before: dict[str, tuple[Any, ...]] = {}
        self._flows = FlowCounts()
        self._known = 0
        """The greatest seq of a job that was there before."""

    def write(self, batches: Sequence[Batch]) -> None:
        """Write what *batches*, all new, tell."""
        tallies = [tally for batch in batches for tally in batch.tallies]
        add_tallies(self._transaction, self._naming, tallies, self._now)
        others.write(self._transaction, self._naming, batches, self._now)
        told = [(event, short(batch.worker)) for batch in batches for event in batch.events if event.kind in STEPS]
        told = [(event, worker) for event, worker in told if event.id]
        if any(batch.runs or batch.sends for batch in batches):
            plain = Plain(batches, {event.id for event, _ in told}, self._now)
            told += plain.write(self._transaction, self._naming, self._counters)
        if told:
            self._fold(told)
            self._save()

    # --- deciding

    def _fold(self, told: Sequence[tuple[Event, str]]) -> None:
        sights = self._sights(told)
        ids = list(dict.fromkeys(event.id for event, _ in told))
        for row in self._transaction.among("ingest.jobs", ids):
            record = JobRecord(**dict(zip(COLUMNS, row, strict=True)))
            self._flows.leave(record.flow_id, record.state)
            self._old[record.id] = record
            self._before[record.id] = _given(record)
        missing = [job_id for job_id in ids if job_id not in self._old]
        taken = self._counters.take("seq", len(missing))
        self._known = taken.start - 1
        seqs = dict(zip(missing, taken, strict=True))
        failing = [self._old[each.event.id].seq for each in sights if each.error_id and each.event.id in self._old]
        failed = failed_before(self._transaction, failing)
        counts = ErrorCounts()
        for sight in sights:
            record = self._record(sight, seqs)
            decides = fold(record, sight)
            attempt = attempt_of(record, sight.event, moment(sight.event.at, self._now))
            self._body(record, sight.event, attempt, decides=decides)
            self._attempt(record, sight, attempt)
            key = (record.seq, attempt)
            if sight.error_id and key not in failed:
                failed.add(key)
                counts.add(sight.error_id, sight.event.at, record.seq, self._now)
        counts.save(self._transaction)

    def _sights(self, told: Sequence[tuple[Event, str]]) -> list[Sight]:
        tasks = self._numbers("task", {event.task for event, _ in told})
        queues = self._numbers("queue", {event.queue for event, _ in told})
        workers = self._numbers("worker", {worker for _, worker in told})
        prints = [fingerprint_of(event) for event, _ in told]
        groups = numbered(
            self._transaction,
            self._counters,
            [(found, moment(event.at, self._now)) for found, (event, _) in zip(prints, told, strict=True) if found],
        )
        return [
            Sight(
                event,
                tasks[event.task],
                queues[event.queue],
                workers[worker],
                self._now,
                groups[found.digest] if found else None,
            )
            for (event, worker), found in zip(told, prints, strict=True)
        ]

    def _numbers(self, sort: Sort, names: Collection[str]) -> dict[str, int]:
        """What each of *names* is in the tables."""
        self._naming.prepare(sort, {short(name) for name in names})
        return {name: self._naming(sort, short(name)) for name in names}

    def _record(self, sight: Sight, seqs: dict[str, int]) -> JobRecord:
        job_id = sight.event.id
        record = self._old.get(job_id) or self._new.get(job_id)
        if record is None:
            record = self._new[job_id] = first_seen(seqs[job_id], sight)
        return record

    def _body(self, record: JobRecord, event: Event, attempt: int, *, decides: bool) -> None:
        body, told = self._bodies.get(record.seq), event.body
        result = text(told.get("result"), MAX_VALUES) if decides else None
        args, kwargs = text(told.get("args"), MAX_VALUES), text(told.get("kwargs"), MAX_VALUES)
        headers = _headers(told["headers"]) if "headers" in told else None
        has_envelope = 0 < len(event.envelope) <= MAX_ENVELOPE_BYTES
        if not (has_envelope or result is not None or headers or args or kwargs):
            return
        if body is None:
            body = self._bodies[record.seq] = _Body()
        body.args, body.kwargs = body.args or args, body.kwargs or kwargs
        body.headers = body.headers or headers
        body.result = result if result is not None else body.result
        if has_envelope and (body.envelope is None or attempt >= body.attempt):
            body.envelope, body.attempt = event.envelope, attempt

    def _attempt(self, record: JobRecord, sight: Sight, attempt: int) -> None:
        if not sight.error_id and attempt <= 1:  # its row says as much
            return
        event, body = sight.event, sight.event.body
        step = step_of(event)
        if not (sight.error_id or step.grade):
            return
        at = moment(event.at, self._now)
        key = (record.seq, attempt)
        there = self._attempts.get(key)
        if there is not None and (there[3], -there[4]) >= (step.level, -at):
            return
        told = text(body.get("traceback"), MAX_TRACEBACK)
        self._attempts[key] = [
            *key, CODES[step.state], step.level, at, sight.worker_id, milliseconds(body.get("run")),
            milliseconds(body.get("wait")), sight.error_id, short(body.get("error")) or None,
            text(body.get("message"), MAX_MESSAGE),
            zlib.compress(told.encode(errors="replace"), ZLIB_LEVEL) if told else None,
        ]  # fmt: skip

    # --- writing

    def _save(self) -> None:
        told = self._told()
        pairs = bodies.index(self._transaction, self._naming, told)
        changed = [*self._old.values(), *self._new.values()]
        for record, number in zip(changed, self._counters.take("change", len(changed)), strict=True):
            record.change = number
        many = self._transaction.many
        many("ingest.new_jobs", [msgspec.structs.astuple(record) for record in self._new.values()])
        many("ingest.change_jobs", [_changing(record) for record in self._old.values()])
        completed = [record for record in self._old.values() if _given(record) != self._before[record.id]]
        many("ingest.complete_jobs", [_given(record) for record in completed])
        bodies.save(self._transaction, told, pairs, self._known)
        results = [(seq, each.result) for seq, each in sorted(self._bodies.items()) if each.result is not None]
        bodies.put(self._transaction, "results", results, 0, self._known)
        many("ingest.put_attempts", list(self._attempts.values()))
        self._flows.enter_all(changed)
        self._flows.save(self._transaction, self._now)
        minutes.note(self._transaction, [(record.sent_at, record.seq) for record in (*completed, *self._new.values())])

    def _told(self) -> list[Body]:
        """What was told when jobs were sent."""
        tasks = {record.seq: record.task_id for record in (*self._old.values(), *self._new.values())}
        return [
            Body(seq, tasks[seq], each.attempt, each.envelope, each.args, each.kwargs, each.headers)
            for seq, each in sorted(self._bodies.items())
            if each.tells
        ]


def _headers(told: Any) -> str | None:
    """Headers as JSON: H sends them as a mapping or as JSON already."""
    if isinstance(told, dict) and told:
        try:
            return text(msgspec.json.encode(told, enc_hook=str).decode(), MAX_VALUES)
        except (TypeError, ValueError, UnicodeError):
            return None
    return text(told, MAX_VALUES)
