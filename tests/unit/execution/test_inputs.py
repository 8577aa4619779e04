from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.unit.execution.stage import NOW, Stage
from umbel import Task
from umbel.exceptions import ChordError, Ignore, Reject, TaskRevokedError
from umbel.execution.executor import Finished, Run
from umbel.execution.following import ERRBACK
from umbel.execution.inputs import MAX_REPR_CHARACTERS, given, hindrance, page_of
from umbel.execution.verdict import ended_before, joins_of, settlement_of
from umbel.model.failure import Failure, capture, rebuild
from umbel.model.flow import ALL, NOTHING, ONE, Cause, Input, Join, Part, Standing
from umbel.model.job import FIRST, Counts, Delivery
from umbel.model.outcome import Failed, Ignored, Outcome, Result, Retried, Revoked, Succeeded
from umbel.wire import record, values
from umbel.wire.envelope import Envelope, Errback, Link, decode, encode
from umbel.wire.flow import decode_cause, encode_cause

FEEDS = ((2, 5),)
STEP = Part("flow", "home", 1, ONE, FEEDS)
BODY = Part("flow", "home", 1, ALL, FEEDS, chord=True)


def delivery_of(task: Task[..., Any], args: list[Any], part: Part, counts: Counts = FIRST) -> Delivery:
    envelope = Envelope(task.name, args=_raw(args), part=part)
    return Delivery("job", "q", 9, 1, encode(envelope), counts)


def _raw(args: list[Any]) -> msgspec.Raw:
    return msgspec.Raw(values.encode(args))


def run_of(stage: Stage, function: Callable[..., Any], args: list[Any], part: Part, **options: Any) -> Run:
    task = stage.task(function, asynchronous=False, **options)
    prepared = stage.executor.prepare(delivery_of(task, args, part), NOW)
    assert isinstance(prepared, Run)
    return prepared


def standing(*, failed: Failure | None = None, state: Any = "running", expires: float | None = None) -> Standing:
    found = None if failed is None else Input(3, encode_cause("member", failed), True)
    return Standing(state, expires, found, [])


# --- what is given


@pytest.mark.parametrize(
    ("takes", "values_", "expected"),
    [
        (NOTHING, [], [7]),
        (ONE, [b"\x01"], [1, 7]),
        (ALL, [b"\x01", b"\xa1x"], [[1, "x"], 7]),
        (ALL, [], [[], 7]),
        (ONE, [], [None, 7]),
    ],
)
def test_a_job_takes_what_its_part_says_as_its_first_argument(
    takes: int, values_: list[bytes], expected: list[Any]
) -> None:
    stage = Stage()
    part = Part("flow", "home", 1, takes, FEEDS)
    run = run_of(stage, lambda *args: list(args), [7], part)
    outcome = stage.outcome(given(run, part, len(values_), values_))
    assert isinstance(outcome, Succeeded)
    assert values.decode(outcome.value) == expected


def test_what_is_given_is_converted_and_checked_like_any_argument() -> None:
    stage = Stage()

    def add(first: int, second: int) -> int:
        return first + second

    run = run_of(stage, add, [7], STEP)
    assert isinstance(stage.outcome(given(run, STEP, 1, [b"\x01"])), Succeeded)
    refused = stage.outcome(given(run, STEP, 1, [b"\xa4text"]))
    assert isinstance(refused, Failed)
    assert refused.dead


def test_no_more_is_asked_for_than_is_taken() -> None:
    counts = [page_of(Part("flow", "home", 1, takes, FEEDS)).count for takes in (NOTHING, ONE, ALL)]
    assert counts == [0, 1, 1000]


# --- who cannot run


def test_a_job_runs_whose_members_have_all_succeeded() -> None:
    assert hindrance(STEP, standing(), NOW) is None
    assert hindrance(STEP, standing(expires=NOW + 1), NOW) is None


def test_a_step_of_a_chain_fails_as_the_one_before_it() -> None:
    failure = capture(ValueError("no"))
    assert hindrance(STEP, standing(failed=failure), NOW) == Failed(failure)


def test_a_step_of_a_chain_is_revoked_if_the_one_before_it_was() -> None:
    assert hindrance(STEP, standing(failed=capture(TaskRevokedError("expired"))), NOW) == Revoked("expired")


def test_the_body_of_a_chord_fails_in_celerys_words_with_the_members_own_error_behind_it() -> None:
    try:
        raise ValueError("no", 7)
    except ValueError as error:
        outcome = hindrance(BODY, standing(failed=capture(error)), NOW)
    assert isinstance(outcome, Failed)
    raised = rebuild(outcome.failure)
    assert isinstance(raised, ChordError)
    assert str(raised) == "Dependency member raised ValueError('no', 7)"
    assert repr(raised.__cause__) == "ValueError('no', 7)"
    assert 'raise ValueError("no", 7)' in outcome.failure.traceback
    assert outcome.failure.traceback.endswith(f"ChordError: {raised}\n")


def test_a_revoked_member_fails_the_body_of_a_chord() -> None:
    outcome = hindrance(BODY, standing(failed=capture(TaskRevokedError("revoked"))), NOW)
    assert isinstance(outcome, Failed)
    assert outcome.failure.message == "Dependency member raised TaskRevokedError('revoked')"


def test_a_failure_does_not_grow_from_chord_to_chord() -> None:
    failure = capture(ValueError("x" * 5000))
    sizes = []
    for _ in range(60):
        outcome = hindrance(BODY, standing(failed=failure), NOW)
        assert isinstance(outcome, Failed)
        failure = outcome.failure
        sizes.append(len(record.encode(Result("FAILURE", failure=failure))))
    assert max(sizes[20:]) < sizes[19] + 100
    assert len(failure.message) < 2 * MAX_REPR_CHARACTERS


@pytest.mark.parametrize("part", [STEP, BODY])
def test_the_jobs_of_a_flow_that_was_revoked_or_has_expired_are_revoked(part: Part) -> None:
    assert hindrance(part, standing(state="revoked"), NOW) == Revoked("revoked")
    assert hindrance(part, standing(expires=NOW), NOW) == Revoked("expired")


def test_without_its_flows_state_a_job_fails_unless_it_needs_nothing() -> None:
    assert hindrance(Part("flow", "home", 0, NOTHING, FEEDS), None, NOW) is None
    assert isinstance(hindrance(STEP, None, NOW), Failed)


def test_a_cause_that_cannot_be_read_is_a_failure_all_the_same() -> None:
    found = Standing("running", None, Input(3, b"damaged", True), [])
    assert isinstance(hindrance(STEP, found, NOW), Failed)
    assert isinstance(hindrance(BODY, found, NOW), Failed)


# --- what a job's end is to its flow


def joined(outcome: Outcome, part: Part | None = STEP) -> tuple[Join, ...]:
    return settlement_of(Finished(Delivery("job", "q", 9, 1, b""), outcome, "task", part=part), "w", NOW, 60.0).joins


def test_a_value_joins_every_node_that_waits() -> None:
    part = Part("flow", "home", 0, NOTHING, ((1, 0), (2, 4)))
    assert joined(Succeeded(b"\x07"), part) == (
        Join("flow", "home", 1, 0, b"\x07"),
        Join("flow", "home", 2, 4, b"\x07"),
    )


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Failed(capture(ValueError("no"))), "ValueError"),
        (Failed(capture(ValueError("no")), dead=True), "ValueError"),
        (Revoked("expired"), "TaskRevokedError"),
        (Ignored(), "TaskRevokedError"),
    ],
)
def test_every_other_end_joins_as_a_failure_with_its_cause(outcome: Outcome, expected: str) -> None:
    (join,) = joined(outcome)
    cause = decode_cause(join.value)
    assert (join.failed, cause.job, cause.failure.type) == (True, "job", expected)


def test_a_job_that_goes_on_joins_nothing() -> None:
    assert joined(Retried(None, 1.0)) == joined(Succeeded(b"\x07"), None) == ()


def test_jobs_that_cannot_be_run_tell_their_flow() -> None:
    stage = Stage()
    task = stage.task(lambda: None, asynchronous=False)
    buried = stage.refused(delivery_of(task, [], STEP, Counts(crashes=3)))
    assert [join.failed for join in joins_of(buried)] == [True]
    late = stage.refused(Delivery("job", "q", 9, 1, encode(Envelope(task.name, expires=NOW - 1, part=STEP))))
    assert [join.failed for join in joins_of(late)] == [True]
    newer = stage.refused(Delivery("job", "q", 9, 1, encode(Envelope(task.name, version=99, part=STEP))))
    assert [join.failed for join in joins_of(newer)] == [True]


def test_a_result_that_nobody_keeps_is_brought_to_the_flow() -> None:
    finished = Finished(Delivery("job", "q", 9, 1, b""), Succeeded(b"\x07"), "task", keep_result=False, part=STEP)
    settlement = settlement_of(finished, "w", NOW, 60.0)
    assert (settlement.record, [join.value for join in settlement.joins]) == (b"", [b"\x07"])


@pytest.mark.parametrize(
    ("stored", "failed", "brought"),
    [
        (record.encode(Result("SUCCESS", _raw([1]))), False, [1]),
        (record.encode(Result("FAILURE", failure=capture(ValueError()))), True, "ValueError"),
        (b"", False, None),
        (b"damaged", True, "DecodeError"),
    ],
)
def test_a_job_whose_record_was_stored_before_a_crash_joins_with_that_record(
    stored: bytes, failed: bool, brought: Any
) -> None:
    stage = Stage()
    delivery = delivery_of(stage.task(lambda: None, asynchronous=False), [], STEP)
    settlement = settlement_of(ended_before(delivery, stored, NOW), "w", NOW, 60.0)
    (join,) = settlement.joins
    found = decode_cause(join.value).failure.type if join.failed else values.decode(join.value)
    assert (settlement.kind, settlement.record, join.failed, found) == ("end", b"", failed, brought)


@pytest.mark.parametrize(("failure", "told"), [(None, ["linked"]), (capture(ValueError()), [ERRBACK])])
def test_who_is_to_be_told_of_such_a_job_is_told(failure: Failure | None, told: list[str]) -> None:
    link, errback = Link("q", encode(Envelope("linked"))), Errback(values.encode({"task": "errback"}))
    delivery = Delivery("job", "q", 9, 1, encode(Envelope("task", links=(link,), errbacks=(errback,))))
    stored = record.encode(Result("SUCCESS" if failure is None else "FAILURE", _raw([1]), failure))
    settlement = settlement_of(ended_before(delivery, stored, NOW), "w", NOW, 60.0)
    assert [decode(job.envelope).task for job in settlement.follow_ups] == told
    assert (settlement.kind, settlement.record, settlement.joins) == ("end", b"", ())


# --- steering inside a flow


def test_a_retry_keeps_the_part_and_does_not_give_twice() -> None:
    stage = Stage()

    def body(value: int, more: int) -> None:
        raise task.retry(args=(value + 1, more), countdown=0)

    run = run_of(stage, body, [7], STEP, max_retries=3)
    task = run.task
    outcome = stage.outcome(given(run, STEP, 1, [b"\x01"]))
    assert isinstance(outcome, Retried)
    assert outcome.envelope is not None
    replaced = decode(outcome.envelope)
    assert (values.decode(replaced.args), replaced.part) == ([2, 7], Part("flow", "home", 1, NOTHING, FEEDS))


def test_a_retry_with_other_keywords_is_given_its_value_again() -> None:
    stage = Stage()

    def body(value: int, more: int, key: int = 0) -> None:
        raise task.retry(kwargs={"key": key + 1}, countdown=0)

    run = run_of(stage, body, [7], STEP, max_retries=3)
    task = run.task
    outcome = stage.outcome(given(run, STEP, 1, [b"\x01"]))
    assert isinstance(outcome, Retried)
    assert outcome.envelope is not None
    replaced = decode(outcome.envelope)
    assert (values.decode(replaced.args), values.decode(replaced.kwargs)) == ([7], {"key": 1})
    assert replaced.part == STEP


def test_ignore_and_reject_end_a_member() -> None:
    stage = Stage()

    def ignoring() -> None:
        raise Ignore

    def rejecting() -> None:
        raise Reject

    for function in (ignoring, rejecting):
        run = run_of(stage, function, [], Part("flow", "home", 0, NOTHING, FEEDS))
        assert [join.failed for join in joins_of(stage.executor.finished(run, stage.outcome(run)))] == [True]


def test_a_cause_names_the_job() -> None:
    assert decode_cause(encode_cause("job", capture(ValueError()))) == Cause("job", capture(ValueError()))
