"""Each outcome as the settlement that a broker carries out."""

from __future__ import annotations

import msgspec
import pytest

from umbel.contracts.broker import DONE_MARK_SECONDS, Settlement
from umbel.execution.executor import Finished
from umbel.execution.verdict import result_of, settlement_of
from umbel.model.failure import Failure
from umbel.model.job import Counts, Delivery
from umbel.model.outcome import Crashed, Failed, Ignored, Outcome, Parked, Released, Result, Retried, Revoked, Succeeded
from umbel.wire import record

NOW = 1_800_000_000.0
EXPIRES = 3600.0
DELIVERY = Delivery("id", "q", 4, 7, b"envelope", Counts(retries=2, crashes=1, losses=3, marked=True))
FAILURE = Failure("Odd", "here", "why")


def settled(outcome: Outcome, *, keep: bool = True) -> Settlement:
    return settlement_of(Finished(DELIVERY, outcome, "task", keep), "worker@host", NOW, EXPIRES)


def stored(settlement: Settlement) -> Result:
    return record.decode(settlement.record)


def test_a_success_ends_the_job_with_its_record() -> None:
    settlement = settled(Succeeded(b"\x07", 1.5))
    assert (settlement.delivery, settlement.kind, settlement.ttl) == (DELIVERY, "end", EXPIRES)
    found = stored(settlement)
    assert (found.state, bytes(found.value), found.failure) == ("SUCCESS", b"\x07", None)
    assert (found.task, found.queue, found.worker, found.retries) == ("task", "q", "worker@host", 2)
    assert (found.done, found.run) == (NOW, 1.5)


@pytest.mark.parametrize(("dead", "kind"), [(False, "end"), (True, "dead")])
def test_a_failure_ends_or_buries_the_job_with_its_record(dead: bool, kind: str) -> None:
    settlement = settled(Failed(FAILURE, 0.5, dead))
    assert (settlement.kind, settlement.ttl) == (kind, EXPIRES)
    found = stored(settlement)
    assert (found.state, found.failure, bytes(found.value), found.run) == ("FAILURE", FAILURE, b"\xc0", 0.5)


def test_a_revoked_job_ends_with_a_record_that_says_why() -> None:
    settlement = settled(Revoked("expired"))
    found = stored(settlement)
    assert (settlement.kind, found.state) == ("end", "REVOKED")
    assert found.failure is not None
    assert (found.failure.type, found.failure.message) == ("TaskRevokedError", "expired")


@pytest.mark.parametrize("outcome", [Succeeded(b"\x07"), Failed(FAILURE), Revoked("expired")])
def test_a_result_that_nobody_wants_is_a_done_mark(outcome: Outcome) -> None:
    settlement = settled(outcome, keep=False)
    assert (settlement.kind, settlement.record, settlement.ttl) == ("end", b"", DONE_MARK_SECONDS)


def test_an_ignored_job_leaves_a_done_mark_whatever_is_kept() -> None:
    settlement = settled(Ignored(), keep=True)
    assert (settlement.kind, settlement.record, settlement.ttl) == ("end", b"", DONE_MARK_SECONDS)


def test_a_dead_letter_says_why_even_if_nobody_wants_results() -> None:
    settlement = settled(Failed(FAILURE, dead=True), keep=False)
    assert (settlement.kind, stored(settlement).failure) == ("dead", FAILURE)


def test_a_retry_is_charged_and_clears_the_mark() -> None:
    settlement = settled(Retried(FAILURE, 5.0, envelope=b"new"))
    assert (settlement.kind, settlement.delay, settlement.envelope) == ("retry", 5.0, b"new")
    assert settlement.counts == Counts(retries=3, crashes=1, losses=3, marked=False)
    assert settlement.record == b""


def test_a_job_that_lost_its_own_process_runs_again_charged_a_crash() -> None:
    settlement = settled(Crashed())
    assert (settlement.kind, settlement.delay, settlement.counts) == ("retry", 0.0, Counts(2, 2, 3))


def test_a_job_that_goes_back_to_the_queue_is_not_charged() -> None:
    settlement = settled(Retried(None, 0.0, charged=False))
    assert (settlement.kind, settlement.envelope) == ("retry", b"")
    assert settlement.counts == Counts(retries=2, crashes=1, losses=3)


def test_a_job_that_was_not_started_is_released() -> None:
    assert settled(Released()) == Settlement(DELIVERY, "release")


def test_a_job_of_an_unknown_task_is_parked_under_its_name() -> None:
    assert settled(Parked("pkg.task")) == Settlement(DELIVERY, "park", task="pkg.task")


@pytest.mark.parametrize("outcome", [Retried(None, 0.0), Released(), Parked("task")])
def test_what_is_no_end_has_no_result(outcome: Outcome) -> None:
    with pytest.raises(TypeError, match=type(outcome).__name__):
        result_of(Finished(DELIVERY, outcome, "task"), "worker", NOW)


def test_a_record_of_a_failure_travels_whole() -> None:
    chain = msgspec.structs.replace(FAILURE, cause=Failure("Cause", "there", "first"), notes=["a"], traceback="tb")
    assert stored(settled(Failed(chain))).failure == chain
