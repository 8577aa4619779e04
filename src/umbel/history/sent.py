"""Sent jobs of which nothing was known: their rows are made of their envelopes, without an event or a record of each.

A job of which the same transaction knows that it has succeeded is written once, as it has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from umbel.contracts.history import Transaction
from umbel.exceptions import DecodeError
from umbel.history import bodies, minutes
from umbel.history.bodies import Body
from umbel.history.bounds import FUTURE_SECONDS, real, short
from umbel.history.counters import Counters
from umbel.history.names import Naming
from umbel.history.record import MAX_ID
from umbel.history.states import CODES
from umbel.model.event import MAX_ENVELOPE_BYTES, Sends, Sent
from umbel.retelling import RETRY_OF, SCHEDULE, redaction_of, sketch_of
from umbel.wire.envelope import Envelope, decode

_QUEUED: Final = CODES["queued"]
_SCHEDULED: Final = CODES["scheduled"]
_MAX_PRIORITY: Final = 9
_SENT_AT: Final = 5
"""Where among the columns of a draft it is when it was sent."""
_NO_FACTS: Final = (None,) * 6
Ended: TypeAlias = tuple[Any, ...]
"""Worker, when a job that has succeeded ended and began, for how long it waited and ran (ms)."""


class Line(NamedTuple):
    """Jobs of one task and queue that were sent, and the numbers of those; *words* as in `Batch`."""

    sends: Sends
    words: tuple[str, ...]
    task: int
    queue: int


class _Draft(NamedTuple):
    """A job before it has a seq: its columns, and what of its `Body` comes after that."""

    id: str
    columns: tuple[Any, ...]
    body: tuple[Any, ...]


class SentJobs:
    """Those jobs that are *wanted*, by their ids; *ended* tells which have succeeded. *now* is the recorder's clock."""

    def __init__(self, wanted: Collection[str], ended: Mapping[str, Ended], now: float) -> None:
        self._wanted = wanted
        self._ended = ended
        self._now = now
        self._drafts: list[_Draft] = []

    def take(self, line: Line) -> list[Sent]:
        """Take what *line* has; answers the rows of jobs that are not wanted, or that are part of a flow."""
        redaction, sketch = redaction_of(line.words), sketch_of(line.sends)
        rest: list[Sent] = []
        for row in line.sends.rows:
            job_id, _, _, sealed = row
            try:
                envelope = decode(sealed, MAX_ENVELOPE_BYTES)
            except DecodeError:
                continue
            if job_id not in self._wanted or envelope.part is not None:
                rest.append(row)
                continue
            args, kwargs = redaction.args(envelope.args, sketch), redaction.kwargs(envelope.kwargs, sketch)
            headers = redaction.plain(envelope.headers) if envelope.headers else None
            body = (line.task, 0, sealed, args, kwargs, headers)  # none is too long: redaction sees to that
            self._drafts.append(_Draft(job_id, self._columns(line, row, envelope), body))
        return rest

    def _columns(self, line: Line, row: Sent, envelope: Envelope) -> tuple[Any, ...]:
        job_id, at, priority, _ = row
        eta, expires, headers = envelope.eta or None, envelope.expires or None, envelope.headers
        state = _QUEUED if eta is None or eta <= at else _SCHEDULED
        if not 0.0 <= at <= self._now + FUTURE_SECONDS:
            at = self._now
        priority = max(0, min(priority, _MAX_PRIORITY))
        facts: tuple[Any, ...] = _NO_FACTS
        if eta or expires or headers or envelope.root_id or envelope.parent_id:
            root, found = _id(envelope.root_id), headers or {}
            facts = (
                real(eta), real(expires), None if root == job_id else root, _id(envelope.parent_id),
                _id(found.get(RETRY_OF)), _id(found.get(SCHEDULE)),
            )  # fmt: skip
        return (job_id, line.task, line.queue, self._now, state, at, priority, *facts)

    def write(self, transaction: Transaction, naming: Naming, counters: Counters) -> dict[str, int]:
        """Write what was taken; answers the seqs of those that were written as they have ended, by their ids."""
        seqs = counters.take("seq", len(self._drafts))
        changes = counters.take("change", len(self._drafts))
        sent, done, told = list[tuple[Any, ...]](), list[tuple[Any, ...]](), list[Body]()
        over: dict[str, int] = {}
        for seq, change, draft in zip(seqs, changes, self._drafts, strict=True):
            told.append(Body(seq, *draft.body))
            ended = self._ended.get(draft.id)
            if ended is not None and draft.columns[1] and draft.columns[2]:
                over[draft.id] = seq
                done.append((seq, change, *draft.columns, *ended))
            else:
                sent.append((seq, change, *draft.columns))
        pairs = bodies.index(transaction, naming, told)
        transaction.many("ingest.sent_jobs", sent)
        transaction.many("ingest.done_jobs", done)
        bodies.save(transaction, told, pairs, seqs.start - 1)
        minutes.note(transaction, zip([draft.columns[_SENT_AT] for draft in self._drafts], seqs, strict=True))
        return over


def _id(value: Any) -> str | None:
    return (short(value, MAX_ID) or None) if value else None
