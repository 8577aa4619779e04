from __future__ import annotations

import msgspec
import pytest

from umbel.model.failure import Failure
from umbel.model.outcome import (
    Failed,
    Ignored,
    Outcome,
    Parked,
    Released,
    Result,
    Retried,
    Revoked,
    Succeeded,
    describe,
)

FAILURE = Failure("OSError", "builtins", "gone")


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (Succeeded(b"\xc0"), "succeeded"),
        (Failed(FAILURE), "failed"),
        (Retried(FAILURE, 5.0), "retried"),
        (Revoked("expired"), "revoked"),
        (Ignored(), "ignored"),
        (Released(), "released"),
        (Parked("pkg.task"), "parked"),
    ],
)
def test_every_outcome_is_described_by_its_name(outcome: Outcome, name: str) -> None:
    assert describe(outcome)["outcome"] == name


def test_the_fields_of_an_outcome_are_described() -> None:
    assert describe(Revoked("expired")) == {"outcome": "revoked", "reason": "expired"}


def test_a_result_without_a_value_is_none() -> None:
    assert msgspec.msgpack.decode(Result("SUCCESS").value) is None


def test_a_failure_is_no_dead_letter_unless_it_says_so() -> None:
    assert not Failed(FAILURE).dead


def test_a_retry_is_charged_unless_it_says_otherwise() -> None:
    assert Retried(None, 0.0).charged
