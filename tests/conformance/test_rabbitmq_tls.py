"""RabbitMQ over TLS: who is trusted, who is not, and how soon that is said."""

from __future__ import annotations

import time

import pytest

from tests.patient import UNREACHED
from tests.servers.rabbitmq import Tls
from umbel.brokers.rabbitmq import connect
from umbel.contracts.broker import Beat
from umbel.exceptions import BrokerError, BrokerUnavailable, ImproperlyConfigured
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.settings import Settings

QUEUE = "default"
AT_ONCE_SECONDS = 30.0


@pytest.fixture
def secured(rabbitmq_tls: Tls, rabbitmq_url: str) -> Tls:
    """A node with TLS, empty."""
    del rabbitmq_url
    return rabbitmq_tls


def settings(redis_url: str) -> Settings:
    return Settings(result_backend=redis_url, broker_send_deadline=90.0)


async def works(url: str, redis_url: str) -> None:
    """A job is sent both ways and received."""
    broker = connect(url, settings(redis_url))
    broker.send([Job(new_id(), QUEUE, b"envelope")])
    await broker.asend([Job(new_id(), QUEUE, b"envelope" * 10_000)])
    assert await broker.heartbeat([Beat("s")], [QUEUE], 120.0, opening=True) == [True]
    received = 0
    while received < 2:
        received += len(await broker.receive("s", [QUEUE], 10, wait=AT_ONCE_SECONDS))
    await broker.aclose()
    broker.close()


def refused(url: str, said: str, error: type[Exception] = BrokerError) -> None:
    """Sending fails at once, although the deadline is far away, and no password is shown."""
    broker = connect(url.replace("guest:guest", "guest:open-sesame"), settings("redis://"))
    begun = time.monotonic()
    with pytest.raises(error, match=said) as failed:
        broker.send([Job(new_id(), QUEUE, b"envelope")])
    broker.close()
    assert not isinstance(failed.value, BrokerUnavailable)
    assert "open-sesame" not in str(failed.value)
    assert time.monotonic() - begun < AT_ONCE_SECONDS


async def test_a_node_whose_certificate_is_trusted_is_served_like_any_other(secured: Tls, redis_url: str) -> None:
    await works(secured.url(), redis_url)


async def test_trust_can_be_switched_off(secured: Tls, redis_url: str) -> None:
    await works(secured.url("localhost", cacertfile="", verify="verify_none"), redis_url)


def test_an_authority_that_is_unknown_is_said_at_once(secured: Tls) -> None:
    refused(secured.url(cacertfile=""), "certificate is not trusted: ")


def test_a_certificate_for_another_host_is_said_at_once(secured: Tls) -> None:
    refused(secured.url("localhost"), "certificate is not trusted: .*localhost")


def test_a_node_that_asks_for_a_certificate_is_shown_ours_or_says_so(secured: Tls) -> None:
    refused(secured.url(certfile="", keyfile=""), "no secure connection: ")


def test_a_file_that_cannot_be_used_is_named_at_once(secured: Tls) -> None:
    refused(secured.url(cacertfile="/no/such.pem"), "cacertfile=/no/such.pem", ImproperlyConfigured)
    refused(secured.url(certfile="/no/such.pem"), "certfile=/no/such.pem", ImproperlyConfigured)
    locked = secured.authority.sign("locked", password=b"open sesame")
    url = secured.url(certfile=str(locked.certificate), keyfile=str(locked.key))
    refused(url, "keyfile=.*locked.key cannot be used", ImproperlyConfigured)


def test_a_node_without_tls_is_refused_in_words(rabbitmq_url: str) -> None:
    broker = connect(rabbitmq_url.replace("amqp://", "amqps://"), Settings(result_backend="redis://"))
    with pytest.raises(BrokerError, match=f"no secure connection|{UNREACHED}") as failed:
        broker.send([Job(new_id(), QUEUE, b"envelope")])
    broker.close()
    assert "guest:guest" not in str(failed.value)
