"""Verdict: the outcome of a delivery as the settlement that a broker carries out. Pure: time is an argument."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from umbel.contracts.broker import DONE_MARK_SECONDS, Settlement
from umbel.exceptions import DecodeError, DuplicateJob, TaskRevokedError
from umbel.execution.executor import Finished
from umbel.execution.following import follow_ups
from umbel.model.failure import Failure, capture
from umbel.model.flow import Join
from umbel.model.ids import packed_id
from umbel.model.job import Counts, Delivery
from umbel.model.outcome import (
    Crashed,
    Duplicate,
    Failed,
    Ignored,
    Outcome,
    Parked,
    Released,
    Result,
    Retried,
    Revoked,
    Succeeded,
)
from umbel.states import FAILURE, IGNORED, REVOKED, SUCCESS
from umbel.wire import record
from umbel.wire.envelope import decode
from umbel.wire.flow import encode_cause, part_of

_NIL: Final = b"\xc0"


def settlement_of(finished: Finished, worker: str, now: float, expires: float) -> Settlement:
    """The settlement of *finished* at unix time *now*; *expires* is how long its record is kept, in seconds."""
    delivery, outcome = finished.delivery, finished.outcome
    match outcome:
        case Released():
            return Settlement(delivery, "release")
        case Parked():
            return Settlement(delivery, "park", task=outcome.task)
        case Retried():
            retries = delivery.counts.retries + int(outcome.charged)
            counts = Counts(retries, delivery.counts.crashes, delivery.counts.losses)
            return Settlement(delivery, "retry", delay=outcome.delay, counts=counts, envelope=outcome.envelope or b"")
        case Crashed():
            before = delivery.counts
            return Settlement(delivery, "retry", counts=Counts(before.retries, before.crashes + 1, before.losses))
        case _:
            pass
    return _end(finished, worker, now, expires)


def _end(finished: Finished, worker: str, now: float, expires: float) -> Settlement:
    delivery, outcome = finished.delivery, finished.outcome
    dead = isinstance(outcome, Failed) and outcome.dead
    stored, ttl = b"", DONE_MARK_SECONDS
    if dead or (finished.keep_result and not isinstance(outcome, Ignored)):
        stored, ttl = record.encode(result_of(finished, worker, now)), expires
    joins = joins_of(finished) if finished.part is not None else ()
    follow_ups, added = (outcome.follow_ups, outcome.added) if isinstance(outcome, Succeeded) else ((), ())
    follow_ups += finished.follow_ups
    return Settlement(delivery, "dead" if dead else "end", stored, ttl, follow_ups=follow_ups, joins=joins, added=added)


def joins_of(finished: Finished) -> tuple[Join, ...]:
    """What the end of *finished* is to the nodes that wait for it: its value, or why there is none."""
    part, outcome = finished.part, finished.outcome
    if part is None:
        return ()
    _, value, failure = _ending(outcome)
    if isinstance(outcome, Ignored):  # nobody can tell its value, so what follows cannot run
        failure = capture(TaskRevokedError("ignored"))
    if failure is not None:
        delivery = finished.delivery
        kept = outcome.envelope if isinstance(outcome, Failed) else b""
        value = encode_cause(delivery.id, failure, delivery.queue, kept or delivery.envelope)
    return tuple(Join(part.flow, part.home, *feed, value, failure is not None) for feed in part.feeds)


def result_of(finished: Finished, worker: str, now: float) -> Result:
    """The terminal result of *finished*, whose outcome must be a terminal one."""
    delivery = finished.delivery
    state, value, failure = _ending(finished.outcome)
    return Result(
        state=state,
        value=msgspec.Raw(value),
        failure=failure,
        task=finished.task,
        queue=delivery.queue,
        worker=worker,
        retries=delivery.counts.retries,
        done=now,
        run=getattr(finished.outcome, "run", 0.0),
        children=tuple(map(packed_id, sent)) if (sent := getattr(finished.outcome, "children", ())) else (),
    )


def ended_before(delivery: Delivery, stored: bytes, now: float) -> Finished:
    """What is left to do about *delivery*, whose record is *stored* already: to end it, and to tell who waits for it.

    A crash between record and settle leaves such a job, where the records are not in the broker.
    """
    try:
        envelope = decode(delivery.envelope, len(delivery.envelope))
        result = record.decode(stored) if stored else Result(SUCCESS)
    except DecodeError as error:
        return Finished(delivery, Failed(capture(error)), keep_result=False, part=part_of(delivery.envelope))
    outcome: Outcome = Succeeded(bytes(result.value)) if result.failure is None else Failed(result.failure)
    told = follow_ups(delivery, envelope, outcome, now)
    return Finished(delivery, outcome, result.task, keep_result=False, part=envelope.part, follow_ups=told)


def _ending(outcome: Outcome) -> tuple[str, bytes, Failure | None]:
    match outcome:
        case Succeeded():
            return SUCCESS, outcome.value, None
        case Failed():
            return FAILURE, _NIL, outcome.failure
        case Duplicate():
            return REVOKED, _NIL, capture(DuplicateJob(f"job {outcome.holder} has its unique key"))
        case Revoked():
            return REVOKED, _NIL, _revocation(outcome.reason)
        case Ignored():
            return IGNORED, _NIL, None
        case _:
            raise TypeError(f"{type(outcome).__name__} is not the end of a job")


@lru_cache(maxsize=64)
def _revocation(reason: str) -> Failure:
    """Why a job was revoked; made once, for thousands may be revoked at a time."""
    return capture(TaskRevokedError(reason))
