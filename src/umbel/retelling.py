"""Retelling: batches from the log as the events that they tell. What the reader can find out itself is not sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from umbel.exceptions import DecodeError
from umbel.model.event import AS_TEXT, MAX_ENVELOPE_BYTES, Batch, Event, Ran, Sends, Tally, buckets_of
from umbel.security.redaction import UNKNOWN, Redaction, Sketch
from umbel.wire.envelope import Envelope, decode
from umbel.wire.events import decode as decode_batch

RETRY_OF: Final = "umbel_retry_of"
SCHEDULE: Final = "umbel_schedule"
"""Headers that name the job that this one repeats, and the schedule that it is a tick of."""
COUNTED_BY_READERS: Final = 2
"""Since this version of batches plain successes are counted by who reads."""
NIL: Final = b"\xc0"
"""The result of a job that answered nothing, encoded."""
_FACTS: Final = (("eta", "eta"), ("expires", "expires"), ("root", "root_id"), ("parent", "parent_id"))
_MOMENT: Final = attrgetter("at")


def read(body: bytes, *, rows: bool = False) -> Batch:
    """The batch in *body*, untrusted, with all that it tells in `Batch.events`. Raises `DecodeError`.

    With *rows*, plain successes stay in `Batch.runs`, and sent jobs in `Batch.sends`, for readers of many.
    """
    batch = decode_batch(body)
    if not (batch.runs or batch.sends):
        return batch
    tallies = batch.tallies if batch.version < COUNTED_BY_READERS else (*batch.tallies, *_tallies(batch))
    if rows:
        return msgspec.structs.replace(batch, tallies=tallies)
    events = list(batch.events)
    for runs in batch.runs:
        events += ran(runs.task, runs.queue, runs.rows)
    for sends in batch.sends:
        events += sent(sends, batch.words)
    events.sort(key=_MOMENT)
    return msgspec.structs.replace(batch, events=tuple(events), tallies=tallies, runs=(), sends=(), words=())


def _tallies(batch: Batch) -> Iterator[Tally]:
    """What the plain successes of *batch* count."""
    lines: dict[tuple[str, str], list[Ran]] = {}
    for runs in batch.runs:
        lines.setdefault((runs.task, runs.queue), []).extend(runs.rows)
    for (task, queue), rows in lines.items():
        waits = buckets_of([row[3] for row in rows if row[3] >= 0])
        yield Tally(task, queue, batch.at, succeeded=len(rows), waits=waits, runs=buckets_of([row[2] for row in rows]))


def ran(task: str, queue: str, rows: Sequence[Ran]) -> Iterator[Event]:
    """The events that *rows* of (*task*, *queue*) tell."""
    texts: dict[bytes, str] = {}
    for job_id, at, run, wait, value in rows:
        body: dict[str, Any] = {"run": run}
        if wait >= 0:
            body["wait"] = wait
        if value != NIL:
            body["result"] = texts.get(value) or texts.setdefault(value, shown(value))
        yield Event("task-succeeded", at, job_id, task, queue, 1, body)


def described(envelope: Envelope, redaction: Redaction, sketch: Sketch, priority: int | None = None) -> dict[str, Any]:
    """What the job in *envelope* is, as the body of its events has it; *priority* is what it was sent with."""
    body: dict[str, Any] = {
        "args": redaction.args(envelope.args, sketch),
        "kwargs": redaction.kwargs(envelope.kwargs, sketch),
    }
    if priority := envelope.priority if priority is None else priority:
        body["priority"] = priority
    for name, attribute in _FACTS:
        if value := getattr(envelope, attribute):
            body[name] = value
    if envelope.part is not None:
        body["flow"] = envelope.part.flow
    if envelope.headers:
        _headers(envelope.headers, redaction, body)
    return body


def _headers(headers: Mapping[str, Any], redaction: Redaction, body: dict[str, Any]) -> None:
    for header, name in ((RETRY_OF, "retry_of"), (SCHEDULE, "schedule")):
        if header in headers:
            body[name] = headers[header]
    body["headers"] = redaction.plain(headers)


def shown(value: bytes) -> str:
    """The result *value* of a row, see `Ran`, as the JSON that an event has."""
    return value[1:].decode(errors="replace") if value.startswith(AS_TEXT) else _plain.value(value)


def sent(sends: Sends, words: tuple[str, ...]) -> Iterator[Event]:
    """The events that the rows of *sends* tell; *words* as in `Batch`."""
    redaction, sketch = redaction_of(words), sketch_of(sends)
    for job_id, at, priority, envelope in sends.rows:
        with suppress(DecodeError):
            body = described(decode(envelope, MAX_ENVELOPE_BYTES), redaction, sketch, priority)
            yield Event("task-sent", at, job_id, sends.task, sends.queue, 0, body, envelope)


def sketch_of(sends: Sends) -> Sketch:
    """What is known of the task of *sends*."""
    return Sketch(sends.names) if sends.names else UNKNOWN


@lru_cache(maxsize=8)
def redaction_of(words: tuple[str, ...]) -> Redaction:
    """The rule with *words* of the user's own, which remembers what it has seen."""
    return Redaction(words)


_plain: Final = Redaction()
