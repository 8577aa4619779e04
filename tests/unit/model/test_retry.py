from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.model.failure import Failure
from umbel.model.outcome import Failed, Retried
from umbel.model.retry import RetryPolicy, after_failure

FAILURE = Failure("OSError", "builtins", "gone")
chances = st.floats(0.0, 1.0, exclude_max=True)


def test_without_back_off_the_delay_is_constant() -> None:
    policy = RetryPolicy(default_delay=7.0)
    assert [policy.delay(retries, 0.5) for retries in range(5)] == [7.0] * 5


def test_without_jitter_the_delay_doubles_up_to_its_maximum() -> None:
    policy = RetryPolicy(backoff=2.0, backoff_max=30.0, jitter=False)
    assert [policy.delay(retries, 0.5) for retries in range(6)] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@given(chance=chances, retries=st.integers(0, 10**9))
def test_with_jitter_the_delay_is_that_share_of_the_ceiling(chance: float, retries: int) -> None:
    ceiling = RetryPolicy(backoff=1.5, jitter=False).delay(retries, 0.0)
    assert RetryPolicy(backoff=1.5).delay(retries, chance) == ceiling * chance
    assert 0.0 <= ceiling <= 600.0


def test_the_first_retry_waits_for_the_factor_itself() -> None:
    assert RetryPolicy(backoff=3.0, jitter=False).delay(0, 0.0) == 3.0


@pytest.mark.parametrize(
    ("allowed", "limit", "retries", "exhausted"),
    [
        (3, None, 2, False),
        (3, None, 3, True),
        (0, None, 0, True),
        (None, None, 10**6, False),
        (3, 5, 4, False),
        (3, 1, 1, True),
        (None, 1, 1, True),
        (3, 0, 0, True),
    ],
)
def test_retries_are_limited_by_the_job_or_else_by_the_policy(
    allowed: int | None, limit: int | None, retries: int, exhausted: bool
) -> None:
    assert RetryPolicy(max_retries=allowed).exhausted(retries, limit) is exhausted


def test_an_error_that_is_not_named_is_not_retried() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,))
    assert after_failure(policy, ValueError(), FAILURE, 0, 0.5) == Failed(FAILURE)


def test_a_named_error_and_its_children_are_retried() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,), default_delay=5.0)
    assert after_failure(policy, ConnectionResetError(), FAILURE, 0, 0.5) == Retried(FAILURE, 5.0)


def test_an_exception_from_the_rule_is_not_retried() -> None:
    policy = RetryPolicy(autoretry_for=(Exception,), dont_autoretry_for=(KeyError,))
    assert after_failure(policy, KeyError(), FAILURE, 0, 0.5) == Failed(FAILURE)
    assert isinstance(after_failure(policy, ValueError(), FAILURE, 0, 0.5), Retried)


def test_an_exhausted_policy_ends_as_a_dead_letter() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,), max_retries=2)
    assert after_failure(policy, OSError(), FAILURE, 2, 0.5) == Failed(FAILURE, dead=True)


def test_the_same_chance_gives_the_same_delay() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,), backoff=1.0)
    first, second = (after_failure(policy, OSError(), FAILURE, 1, 0.25) for _ in range(2))
    assert first == second == Retried(FAILURE, 0.5)
