"""What becomes of a delivery: every way a run can end, for `def` and for `async def` tasks."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.execution.stage import NOW, Stage
from umbel.exceptions import Ignore, Reject, Retry
from umbel.execution import executor as module
from umbel.model import chance
from umbel.model.job import Counts, Delivery, Doom
from umbel.model.outcome import Failed, Ignored, Outcome, Parked, Result, Retried, Revoked, Succeeded
from umbel.wire import envelope, record
from umbel.wire.envelope import Envelope

pytestmark = pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async"])


class Odd(Exception):
    pass


class Text(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


@pytest.fixture
def stage() -> Stage:
    return Stage()


def unsendable() -> object:
    return object()


def raising(error: BaseException) -> Callable[..., Any]:
    def fail() -> None:
        raise error

    return fail


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


def retried(outcome: Outcome) -> Retried:
    assert isinstance(outcome, Retried)
    return outcome


# --- success


def test_a_value_is_returned_encoded_with_the_time_it_took(stage: Stage, asynchronous: bool) -> None:
    outcome = stage.run(stage.task(lambda x, y: x + y, asynchronous=asynchronous), 4, 6)
    assert isinstance(outcome, Succeeded)
    assert msgspec.msgpack.decode(outcome.value) == 10
    assert 0 < outcome.run < 10


# --- failure


def test_an_error_is_a_failure_with_its_traceback(stage: Stage, asynchronous: bool) -> None:
    outcome = failed(stage.run(stage.task(raising(Odd("no", 1)), asynchronous=asynchronous)))
    assert (outcome.failure.type, outcome.failure.args, outcome.dead) == ("Odd", ["no", 1], False)
    assert "in fail" in outcome.failure.traceback
    assert outcome.run > 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_an_error_that_would_end_a_program_is_a_failure(stage: Stage, asynchronous: bool, error: BaseException) -> None:
    outcome = failed(stage.run(stage.task(raising(error), asynchronous=asynchronous)))
    assert outcome.failure.type == type(error).__name__


def test_a_result_that_cannot_travel_is_a_failure_that_is_not_tried_again(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(unsendable, asynchronous=asynchronous, autoretry_for=(Exception,))
    outcome = failed(stage.run(task))
    assert outcome.failure.type == "EncodeError"
    assert "object" in outcome.failure.message


def test_arguments_that_do_not_fit_are_an_ordinary_failure(stage: Stage, asynchronous: bool) -> None:
    outcome = failed(stage.run(stage.task(lambda x: x, asynchronous=asynchronous), 1, 2, 3))
    assert (outcome.failure.type, outcome.dead) == ("TypeError", False)


def test_arguments_that_cannot_be_decoded_are_a_dead_letter(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(lambda x: x, asynchronous=asynchronous)
    broken = envelope.encode(Envelope(task.name, args=msgspec.Raw(b"\x81\x01\x02")))
    run = stage.executor.prepare(Delivery("id", "default", 9, 1, broken), NOW)
    assert isinstance(run, module.Run)
    outcome = failed(stage.outcome(run))
    assert (outcome.failure.type, outcome.dead) == ("DecodeError", True)


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Nameless(Exception):
    __notes__ = 5  # type: ignore[assignment]


class Argumentless(Exception):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no arguments")


Nowhere = type("Nowhere", (Exception,), {"__module__": None})


@pytest.mark.parametrize(
    "error",
    [
        ValueError(2**70),
        ValueError(-(2**70)),
        ValueError("half a character: \udcff"),
        ValueError(Text("text")),
        ValueError(Number.ONE),
        ValueError(object(), b"bytes"),
        ValueError("x" * 10**6),
        Broken(),
        Nameless(),
        Argumentless(),
        Nowhere(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_can_travel(stage: Stage, asynchronous: bool, error: Exception) -> None:
    outcome = failed(stage.run(stage.task(raising(error), asynchronous=asynchronous)))
    stored = record.encode(Result("FAILURE", failure=outcome.failure))
    assert len(stored) < 200_000
    assert record.decode(stored).failure == outcome.failure


def test_an_error_with_a_half_character_in_its_notes_and_cause_can_travel(stage: Stage, asynchronous: bool) -> None:
    error = ValueError("why")
    error.add_note("\ud800")
    error.__cause__ = ValueError("\ud800", 2**64)
    outcome = failed(stage.run(stage.task(raising(error), asynchronous=asynchronous)))
    record.decode(record.encode(Result("FAILURE", failure=outcome.failure)))


# --- retries


def test_an_error_named_in_autoretry_for_is_a_retry(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(raising(Odd("no")), asynchronous=asynchronous, autoretry_for=(Odd,), default_retry_delay=7)
    outcome = retried(stage.run(task))
    assert (outcome.delay, outcome.charged, outcome.envelope) == (7, True, None)
    assert outcome.failure is not None
    assert outcome.failure.type == "Odd"


def test_an_error_named_in_dont_autoretry_for_is_a_failure(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(raising(Odd()), asynchronous=asynchronous, autoretry_for=(Exception,), dont_autoretry_for=(Odd,))
    assert not failed(stage.run(task)).dead


def test_the_last_retry_that_fails_leaves_a_dead_letter(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(raising(Odd()), asynchronous=asynchronous, autoretry_for=(Odd,), max_retries=2)
    assert retried(stage.run(task, counts=Counts(retries=1))).charged
    assert failed(stage.run(task, counts=Counts(retries=2))).dead


def test_max_retries_none_never_ends(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(raising(Odd()), asynchronous=asynchronous, autoretry_for=(Odd,), max_retries=None)
    assert retried(stage.run(task, counts=Counts(retries=10**6))).delay == 180


def test_the_delay_doubles_up_to_its_limit_without_jitter(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(
        raising(Odd()), asynchronous=asynchronous, autoretry_for=(Odd,), max_retries=None,
        retry_backoff=2, retry_backoff_max=50, retry_jitter=False,
    )  # fmt: skip
    delays = [retried(stage.run(task, counts=Counts(retries=number))).delay for number in (0, 1, 2, 3, 4, 5, 10**6)]
    assert delays == [2, 4, 8, 16, 32, 50, 50]


@pytest.mark.parametrize(("drawn", "delay"), [(0.0, 0.0), (0.5, 4.0), (0.75, 6.0)])
def test_jitter_is_a_share_of_the_whole_delay(
    stage: Stage, asynchronous: bool, drawn: float, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "random", lambda: drawn)
    task = stage.task(raising(Odd()), asynchronous=asynchronous, autoretry_for=(Odd,), retry_backoff=2)
    assert retried(stage.run(task, counts=Counts(retries=2))).delay == delay


def test_the_call_changes_the_policy_of_the_task(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(raising(Odd()), asynchronous=asynchronous, autoretry_for=(Odd,), max_retries=5)
    assert failed(stage.run(task, counts=Counts(retries=1), max_retries=1)).dead


@pytest.mark.parametrize("policy", [{"no_such": 1.0}, {"default_delay": float("nan")}, {"default_delay": 1e300}])
def test_a_hostile_policy_harms_nobody(
    stage: Stage, asynchronous: bool, policy: dict[str, float | bool | None]
) -> None:
    task = stage.task(raising(Odd()), asynchronous=asynchronous, autoretry_for=(Odd,))
    body = envelope.encode(Envelope(task.name, retry_policy=policy))
    run = stage.executor.prepare(Delivery("id", "default", 9, 1, body), NOW)
    assert isinstance(run, module.Run)
    outcome = stage.outcome(run)
    assert isinstance(outcome, Failed) or outcome.delay <= 100 * 365 * 86_400  # type: ignore[union-attr]


def test_a_retry_that_the_task_asks_for_comes_after_its_countdown(stage: Stage, asynchronous: bool) -> None:
    def again(self: Any) -> None:
        raise self.retry(exc=Odd("why"), countdown=5)

    outcome = retried(stage.run(stage.task(again, asynchronous=asynchronous, bind=True)))
    assert (outcome.delay, outcome.charged) == (5, True)
    assert outcome.failure is not None
    assert outcome.failure.message == "why"


def test_a_retry_may_replace_the_arguments(stage: Stage, asynchronous: bool) -> None:
    def again(self: Any, x: int, y: int = 0) -> list[int]:
        if x == 1:
            self.retry(args=(2,), kwargs={"y": 3}, countdown=0)
        return [x, y]

    task = stage.app.task(name="again", bind=True)(again)
    delivery = stage.delivery(task, 1, headers={"kept": "yes"})
    run = stage.executor.prepare(delivery, NOW)
    assert isinstance(run, module.Run)
    outcome = retried(stage.executor.run(run))
    assert outcome.envelope is not None
    second = stage.executor.prepare(msgspec.structs.replace(delivery, envelope=outcome.envelope), NOW)
    assert isinstance(second, module.Run)
    assert second.envelope.headers == {"kept": "yes"}
    end = stage.executor.run(second)
    assert isinstance(end, Succeeded)
    assert msgspec.msgpack.decode(end.value) == [2, 3]


@pytest.mark.parametrize("replaced", [(object(),), ("x" * 2**21,)], ids=["no type of ours", "too large"])
def test_a_retry_with_arguments_that_cannot_travel_is_a_failure(
    stage: Stage, asynchronous: bool, replaced: tuple[Any]
) -> None:
    def again(self: Any, x: Any) -> None:
        self.retry(args=replaced)

    outcome = failed(stage.run(stage.task(again, asynchronous=asynchronous, bind=True), 1))
    assert outcome.failure.type == "EncodeError"


def test_a_task_that_has_asked_too_often_fails_with_its_error_and_is_a_dead_letter(
    stage: Stage, asynchronous: bool
) -> None:
    def again(self: Any) -> None:
        raise self.retry(exc=Odd("why"))

    task = stage.task(again, asynchronous=asynchronous, bind=True, max_retries=2)
    assert retried(stage.run(task, counts=Counts(retries=1))).charged
    outcome = failed(stage.run(task, counts=Counts(retries=2)))
    assert (outcome.failure.type, outcome.dead) == ("Odd", True)


def test_a_task_that_has_asked_too_often_without_an_error_fails_by_name(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(lambda self: self.retry(), asynchronous=asynchronous, bind=True, max_retries=0)
    outcome = failed(stage.run(task))
    assert (outcome.failure.type, outcome.dead) == ("MaxRetriesExceededError", True)


@pytest.mark.parametrize(
    ("when", "least", "most"),
    [
        (None, 0, 0),
        (2.5, 2.5, 2.5),
        (-4, 0, 0),
        (timedelta(minutes=1), 60, 60),
        (datetime(2020, 1, 1, tzinfo=UTC), 0, 0),
        (1e300, 1e9, 1e10),
    ],
    ids=str,
)
def test_a_retry_raised_by_hand_is_a_retry_at_that_time(
    stage: Stage, asynchronous: bool, when: Any, least: float, most: float
) -> None:
    outcome = retried(stage.run(stage.task(raising(Retry(exc=Odd(), when=when)), asynchronous=asynchronous)))
    assert least <= outcome.delay <= most
    assert outcome.charged


@pytest.mark.parametrize("when", ["soon", float("nan"), float("inf")])
def test_a_retry_at_no_time_is_a_failure(stage: Stage, asynchronous: bool, when: Any) -> None:
    outcome = failed(stage.run(stage.task(raising(Retry(when=when)), asynchronous=asynchronous)))
    assert "countdown" in outcome.failure.message


# --- control exceptions


def test_an_ignored_job_ends_without_a_record(stage: Stage, asynchronous: bool) -> None:
    assert isinstance(stage.run(stage.task(raising(Ignore()), asynchronous=asynchronous)), Ignored)


def test_a_rejected_job_is_a_dead_letter_with_the_reason(stage: Stage, asynchronous: bool) -> None:
    outcome = failed(stage.run(stage.task(raising(Reject("broken")), asynchronous=asynchronous)))
    assert (outcome.failure.type, outcome.dead) == ("Reject", True)
    assert "broken" in outcome.failure.message


def test_a_rejected_job_may_go_back_to_the_queue_uncharged(stage: Stage, asynchronous: bool) -> None:
    outcome = retried(stage.run(stage.task(raising(Reject("busy", requeue=True)), asynchronous=asynchronous)))
    assert (outcome.charged, outcome.delay) == (False, 0)


@pytest.mark.parametrize("error", [Ignore(), Reject(), Retry(when=1)])
def test_autoretry_does_not_take_a_control_exception_for_an_error(
    stage: Stage, asynchronous: bool, error: Exception
) -> None:
    plain = stage.run(stage.task(raising(error), asynchronous=asynchronous))
    stage.app.tasks.clear()
    eager = stage.run(stage.task(raising(error), asynchronous=asynchronous, autoretry_for=(Exception,)))
    assert type(eager) is type(plain)


# --- deliveries that are not run


def test_bytes_that_are_no_envelope_are_a_dead_letter(stage: Stage, asynchronous: bool) -> None:
    finished = stage.refused(Delivery("id", "default", 9, 1, b"\xc1 no envelope"))
    assert failed(finished.outcome).dead
    assert failed(finished.outcome).failure.type == "DecodeError"
    assert finished.task == ""


def test_an_envelope_that_is_too_large_is_a_dead_letter(asynchronous: bool) -> None:
    stage = Stage(max_bytes=200)
    delivery = stage.delivery(stage.task(lambda x: x, asynchronous=asynchronous), "x" * 300)
    assert "message_max_bytes" in failed(stage.refused(delivery).outcome).failure.message


def test_an_expired_job_is_revoked(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(lambda: 1, asynchronous=asynchronous)
    late = stage.delivery(task, expires=datetime.fromtimestamp(NOW - 1, UTC))
    assert stage.refused(late).outcome == Revoked("expired")
    early = stage.delivery(task, expires=datetime.fromtimestamp(NOW + 1, UTC))
    assert isinstance(stage.executor.prepare(early, NOW), module.Run)


def test_an_unknown_task_is_parked_under_its_name(stage: Stage, asynchronous: bool) -> None:
    body = envelope.encode(Envelope("no.such.task"))
    finished = stage.refused(Delivery("id", "default", 9, 1, body))
    assert (finished.outcome, finished.task) == (Parked("no.such.task"), "no.such.task")


@pytest.mark.parametrize(("crashes", "dead"), [(0, False), (2, False), (3, True), (4, True)])
def test_a_job_that_crashed_three_times_is_a_dead_letter(
    stage: Stage, asynchronous: bool, crashes: int, dead: bool
) -> None:
    delivery = stage.delivery(stage.task(lambda: 1, asynchronous=asynchronous), counts=Counts(crashes=crashes))
    prepared = stage.executor.prepare(delivery, NOW)
    assert isinstance(prepared, module.Finished) == dead
    if isinstance(prepared, module.Finished):
        assert failed(prepared.outcome).failure.type == "WorkerLostError"
        assert failed(prepared.outcome).dead


@pytest.mark.parametrize(("doom", "error"), [("timeout", "TimeLimitExceeded"), ("memory", "MemoryLimitExceeded")])
def test_a_doomed_job_fails_for_the_limit_that_it_exceeded_and_its_errback_is_told(
    stage: Stage, asynchronous: bool, doom: Doom, error: str
) -> None:
    task = stage.task(lambda: 1, asynchronous=asynchronous)
    delivery = stage.delivery(task, counts=Counts(crashes=3, doom=doom), link_error=task.si(), time_limit=2.5)
    finished = stage.refused(delivery)
    assert failed(finished.outcome).failure.type == error
    assert finished.keep_result
    assert len(finished.follow_ups) == 1
    if doom == "timeout":
        assert failed(finished.outcome).failure.message == "the time limit of 2.5 s has passed"


def test_the_hooks_of_a_doomed_job_are_told_without_its_body(stage: Stage, asynchronous: bool) -> None:
    told: list[str] = []

    def on_failure(_: object, error: BaseException, job_id: str, *rest: object) -> None:
        del rest
        told.append(f"{job_id}: {error}")

    task = stage.task(raising(AssertionError("it ran")), asynchronous=asynchronous, on_failure=on_failure, time_limit=3)
    delivery = stage.delivery(task, counts=Counts(doom="timeout"))
    prepared = stage.executor.prepare(delivery, NOW)
    assert isinstance(prepared, module.Run)
    assert failed(stage.outcome(prepared)).failure.type == "TimeLimitExceeded"
    assert told == [f"{delivery.id}: the time limit of 3 s has passed"]


def test_a_job_that_was_revoked_ends_as_such_even_if_it_has_expired_or_its_task_is_unknown(
    stage: Stage, asynchronous: bool
) -> None:
    counts = Counts(doom="revoked")
    task = stage.task(lambda: 1, asynchronous=asynchronous)
    late = stage.delivery(task, expires=datetime.fromtimestamp(NOW - 1, UTC), counts=counts)
    unknown = Delivery("id", "default", 9, 1, envelope.encode(Envelope("no.such.task")), counts)
    damaged = Delivery("id", "default", 9, 1, b"\xc1 no envelope", counts)
    for delivery in (late, unknown, damaged):
        assert stage.refused(delivery).outcome == Revoked("revoked")


def test_retries_and_losses_bury_nobody(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(lambda: 1, asynchronous=asynchronous)
    assert isinstance(stage.run(task, counts=Counts(retries=99, losses=99)), Succeeded)


# --- whose result is kept


@pytest.mark.parametrize(
    ("app", "task", "call", "kept"),
    [
        (False, None, None, True),
        (True, None, None, False),
        (True, False, None, True),
        (False, True, None, False),
        (False, True, False, True),
        (True, False, True, False),
    ],
)
def test_the_call_beats_the_task_and_the_task_beats_the_app(
    asynchronous: bool, app: bool, task: bool | None, call: bool | None, kept: bool
) -> None:
    stage = Stage(ignore_results=app)
    made = stage.task(lambda: 1, asynchronous=asynchronous, ignore_result=task)
    run = stage.prepared(made, **({} if call is None else {"ignore_result": call}))
    assert stage.executor.keeps(run, Succeeded(b"")) == kept
    made.store_errors_even_if_ignored = True
    assert stage.executor.keeps(run, Succeeded(b"")) == kept
    assert stage.executor.keeps(run, stage.run(stage.task(raising(Odd()), asynchronous=asynchronous)))


def test_an_expired_job_whose_result_nobody_wants_leaves_no_record(stage: Stage, asynchronous: bool) -> None:
    task = stage.task(lambda: 1, asynchronous=asynchronous)
    late = stage.delivery(task, expires=datetime.fromtimestamp(NOW - 1, UTC), ignore_result=True)
    assert not stage.refused(late).keep_result
