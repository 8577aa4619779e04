from __future__ import annotations

import builtins
import inspect

import pytest

from umbel import exceptions
from umbel.exceptions import (
    BackendError,
    BrokerError,
    BrokerFull,
    BrokerUnavailable,
    DecodeError,
    EncodeError,
    NotRegistered,
    OperationalError,
    QueueFull,
    Reject,
    Retry,
    TaskError,
    UmbelError,
)

EVERY = [value for value in vars(exceptions).values() if inspect.isclass(value) and issubclass(value, Exception)]


@pytest.mark.parametrize("error", EVERY)
def test_every_error_is_an_umbel_error_that_says_what_it_means(error: type[Exception]) -> None:
    assert issubclass(error, UmbelError)
    assert error.__doc__


@pytest.mark.parametrize(
    ("error", "parent"),
    [
        (BrokerUnavailable, BrokerError),
        (QueueFull, BrokerFull),
        (BrokerFull, BrokerError),
        (BrokerError, OperationalError),
        (BackendError, OperationalError),
        (exceptions.TimeoutError, builtins.TimeoutError),
        (exceptions.TimeoutError, TaskError),
        (NotRegistered, KeyError),
        (EncodeError, TypeError),
        (DecodeError, ValueError),
    ],
)
def test_errors_are_caught_by_the_names_users_know(error: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(error, parent)


def test_an_unregistered_name_is_shown_without_quotes() -> None:
    assert str(NotRegistered("no task 'a'")) == "no task 'a'"
    assert str(NotRegistered()) == ""


def test_a_reject_keeps_its_reason_and_where_the_job_goes() -> None:
    rejected = Reject("poison", requeue=True)
    assert (rejected.reason, rejected.requeue) == ("poison", True)
    assert not Reject().requeue


def test_a_reject_is_shown_by_its_reason() -> None:
    assert (str(Reject("poison", requeue=True)), str(Reject())) == ("poison", "")


@pytest.mark.parametrize(
    ("retry", "text"),
    [
        (Retry(when=5.0), "Retry in 5s"),
        (Retry(), "Retry"),
        (Retry(exc=OSError("gone"), when=2.5), "Retry in 2.5s: OSError('gone')"),
        (Retry("later", exc=OSError("gone"), when=2.5), "later"),
    ],
)
def test_a_retry_says_when_and_why(retry: Retry, text: str) -> None:
    assert str(retry) == text
