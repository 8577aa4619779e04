"""Outcomes: what event the end of a run is, and what is counted of it; plain successes apart, see the reporter."""

from __future__ import annotations

from typing import Any

from umbel.exceptions import Reject, WorkerLostError
from umbel.execution.executor import Finished
from umbel.journal import Count
from umbel.model.event import Kind
from umbel.model.failure import Failure
from umbel.model.outcome import Crashed, Duplicate, Failed, Ignored, Outcome, Retried, Revoked
from umbel.states import IGNORED


def _measure(count: Count, finished: Finished, seconds: float) -> None:
    count.ran(seconds)
    if finished.wait >= 0:
        count.waited(finished.wait)


def _timed(finished: Finished, seconds: float) -> dict[str, Any]:
    return {"run": seconds} if finished.wait < 0 else {"run": seconds, "wait": finished.wait}


def event_of(finished: Finished, at: float, count: Count) -> tuple[Kind, dict[str, Any]]:
    """What event the outcome of *finished* is, if it is no plain success, with its body; counts it."""
    outcome = finished.outcome
    match outcome:
        case Revoked():
            count.revoked += 1
            return _revoked(outcome)
        case Failed():
            return _failed(finished, outcome, count)
        case Retried() | Crashed():
            count.retried += 1
            _measure(count, finished, outcome.run)
            return "task-retried", _retried(finished, outcome, at)
        case _:
            return _unrecorded(finished, outcome, count)


def _unrecorded(finished: Finished, outcome: Outcome, count: Count) -> tuple[Kind, dict[str, Any]]:
    """A job that has ended well and left no value behind."""
    seconds = getattr(outcome, "run", 0.0)
    count.succeeded += 1
    _measure(count, finished, seconds)
    body = _timed(finished, seconds)
    return "task-succeeded", {**body, "state": IGNORED} if isinstance(outcome, Ignored) else body


def _revoked(outcome: Revoked) -> tuple[Kind, dict[str, Any]]:
    if outcome.reason == "expired":
        return "task-expired", {}
    body: dict[str, Any] = {"reason": outcome.reason}
    return "task-revoked", {**body, "holder": outcome.holder} if isinstance(outcome, Duplicate) else body


def _failed(finished: Finished, outcome: Failed, count: Count) -> tuple[Kind, dict[str, Any]]:
    body: dict[str, Any] = {}
    if outcome.run:
        _measure(count, finished, outcome.run)
        body = _timed(finished, outcome.run)
    body.update(_wrong(outcome.failure))
    if not outcome.dead:
        count.failed += 1
        return "task-failed", body
    count.dead += 1
    if not finished.task:
        return "task-rejected", body
    crashes = finished.delivery.counts.crashes
    reasons = {WorkerLostError.__name__: "crashed", Reject.__name__: "rejected"}
    body["reason"] = reasons.get(outcome.failure.type, "failed")
    return "task-dead", {**body, "crashes": crashes} if crashes else body


def _retried(finished: Finished, outcome: Retried | Crashed, at: float) -> dict[str, Any]:
    body = _timed(finished, outcome.run)
    if isinstance(outcome, Crashed):
        return {**body, "error": WorkerLostError.__name__, "message": "the process of its own in which it ran has died"}
    if outcome.failure is not None:
        body.update(_wrong(outcome.failure))
    return {**body, "eta": at + outcome.delay}


def _wrong(failure: Failure) -> dict[str, Any]:
    error = failure.type if failure.module == "builtins" else f"{failure.module}.{failure.type}"
    return {"error": error, "message": failure.message, "traceback": failure.traceback}
