import pytest

from umbel.brokers.rabbitmq.arguments import as_before, keeping, waiting
from umbel.engines.amqp_channel import Arguments

QUORUM: dict[str, str | int] = {"x-queue-type": "quorum"}
A_DAY: dict[str, str | int] = {"x-consumer-timeout": 86_400_000}
NO_LIMIT: dict[str, str | int] = {"x-delivery-limit": -1}
REFUSAL = (
    "PRECONDITION_FAILED - inequivalent arg '{}' for queue 'umbel.default.c0' in vhost '/': "
    "received the value '-1' of type 'signedint' but current is none"
)


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ((3, 10, 8), QUORUM),
        ((3, 11, 28), QUORUM),
        ((3, 12), QUORUM | A_DAY),
        ((3, 13, 7), QUORUM | A_DAY),
        ((4, 0, 0), QUORUM | A_DAY | NO_LIMIT),
        ((4, 3), QUORUM | A_DAY | NO_LIMIT),
        ((10, 0), QUORUM | A_DAY | NO_LIMIT),
        ((), QUORUM),
    ],
)
def test_each_version_is_told_what_it_knows_and_needs(version: tuple[int, ...], wanted: Arguments) -> None:
    assert keeping(version) == wanted


def test_a_rung_holds_a_message_for_two_to_its_number_seconds_and_hands_it_on_at_least_once() -> None:
    assert waiting(3) == QUORUM | {
        "x-message-ttl": 8000,
        "x-dead-letter-exchange": "umbel.delay.2",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


@pytest.mark.parametrize(("name", "left"), [("x-delivery-limit", A_DAY), ("x-consumer-timeout", NO_LIMIT)])
def test_a_queue_that_an_older_server_made_is_taken_as_it_is(name: str, left: dict[str, str | int]) -> None:
    assert as_before(keeping((4,)), REFUSAL.format(name)) == QUORUM | left


@pytest.mark.parametrize("name", ["x-queue-type", "x-message-ttl"])
def test_a_queue_that_differs_in_anything_else_is_not_ours(name: str) -> None:
    assert as_before(keeping((4,)), REFUSAL.format(name)) is None


def test_a_limit_that_somebody_has_set_is_not_taken_for_an_older_servers() -> None:
    assert as_before(keeping((3, 13)), REFUSAL.format("x-delivery-limit")) is None
    assert as_before(keeping((4,)), "PRECONDITION_FAILED - invalid arg 'x-delivery-limit'") is None
