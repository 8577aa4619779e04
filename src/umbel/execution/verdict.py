"""Verdict: the outcome of a delivery as the settlement that a broker carries out. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

import msgspec

from umbel.contracts.broker import DONE_MARK_SECONDS, Settlement
from umbel.exceptions import TaskRevokedError
from umbel.execution.executor import Finished
from umbel.model.failure import Failure, capture
from umbel.model.job import Counts
from umbel.model.outcome import Failed, Ignored, Outcome, Parked, Released, Result, Retried, Revoked, Succeeded
from umbel.states import FAILURE, IGNORED, REVOKED, SUCCESS
from umbel.wire import record

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
        case _:
            pass
    dead = isinstance(outcome, Failed) and outcome.dead
    if isinstance(outcome, Ignored) or not (finished.keep_result or dead):
        return Settlement(delivery, "end", ttl=DONE_MARK_SECONDS)
    stored = record.encode(result_of(finished, worker, now))
    return Settlement(delivery, "dead" if dead else "end", record=stored, ttl=expires)


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
    )


def _ending(outcome: Outcome) -> tuple[str, bytes, Failure | None]:
    match outcome:
        case Succeeded():
            return SUCCESS, outcome.value, None
        case Failed():
            return FAILURE, _NIL, outcome.failure
        case Revoked():
            return REVOKED, _NIL, capture(TaskRevokedError(outcome.reason))
        case Ignored():
            return IGNORED, _NIL, None
        case _:
            raise TypeError(f"{type(outcome).__name__} is not the end of a job")
