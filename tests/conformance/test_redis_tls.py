"""Redis over TLS: who is trusted, who is not, and how soon that is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patient import PATIENT
from tests.servers import Redis, Server, Service, reserve
from tests.servers.certificates import Authority, Pair
from umbel.brokers.redis import RedisBroker
from umbel.contracts.broker import Beat
from umbel.exceptions import BrokerError, BrokerUnavailable, ImproperlyConfigured
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.settings import Settings
from umbel.stores.redis import RedisResultStore

QUEUE = "q"
AT_ONCE_SECONDS = 30.0


@dataclass(frozen=True)
class Secured:
    """A server with TLS: whom to trust, and an address without options."""

    authority: Authority
    url: str


Serve = Callable[..., Secured]


@pytest.fixture
def serve(tmp_path: Path, launch: Callable[[Service], Server]) -> Iterator[Serve]:
    """Start a Redis whose certificate is for *hosts*; *asks* it for certificates of its clients."""
    authority = Authority(tmp_path)
    port = reserve()

    def start(*hosts: str, asks: bool = False) -> Secured:
        own = authority.sign("server", *hosts or ("127.0.0.1",))
        launch(
            Redis(
                config=(
                    f"tls-port {port.port}",
                    f"tls-cert-file {own.certificate}",
                    f"tls-key-file {own.key}",
                    f"tls-ca-cert-file {authority.certificate}",
                    f"tls-auth-clients {'yes' if asks else 'no'}",
                )
            )
        )
        return Secured(authority, f"rediss://127.0.0.1:{port.port}/0?ssl_ca_certs={authority.certificate}")

    yield start
    port.release()


async def works(url: str) -> None:
    """A job is sent both ways, received and settled, and its record read."""
    broker, store = RedisBroker(url, PATIENT), RedisResultStore(url, PATIENT)
    broker.send([Job(new_id(), QUEUE, b"envelope")])
    await broker.asend([Job(new_id(), QUEUE, b"envelope")])
    assert await broker.heartbeat([Beat("s")], [QUEUE], 120.0, opening=True) == [True]
    assert len(await broker.receive("s", [QUEUE], 10, wait=0)) == 2
    assert await broker.receive("s", [QUEUE], 10, wait=0.01) == []
    assert store.watch("none", QUEUE, 0.01) is None
    assert await store.awatch("none", QUEUE, 0.01) is None
    for each in (broker, store):
        await each.aclose()
        each.close()


async def refused(url: str, said: str, error: type[Exception] = BrokerError) -> None:
    """Sending fails both ways at once, although the deadline is far away."""
    broker = RedisBroker(url, Settings(broker_send_deadline=90.0))
    begun = time.monotonic()
    with pytest.raises(error, match=said) as failed:
        broker.send([Job(new_id(), QUEUE, b"envelope")])
    assert not isinstance(failed.value, BrokerUnavailable)
    with pytest.raises(error, match=said):
        await broker.asend([Job(new_id(), QUEUE, b"envelope")])
    assert time.monotonic() - begun < AT_ONCE_SECONDS


async def test_a_server_whose_certificate_is_trusted_is_served_like_any_other(serve: Serve) -> None:
    await works(serve().url)


async def test_an_authority_that_is_unknown_is_said_at_once(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    other = Authority(tmp_path, "other")
    await refused(server.url.replace("authority.pem", other.certificate.name), "certificate is not trusted: ")
    await refused(server.url.partition("?")[0], "certificate is not trusted: ")


async def test_a_certificate_for_another_host_is_said_at_once_and_may_be_allowed(serve: Serve) -> None:
    server = serve("elsewhere.example")
    await refused(server.url, "certificate is not trusted: .*127.0.0.1")
    await works(server.url + "&ssl_check_hostname=false")


async def test_trust_can_be_switched_off(serve: Serve) -> None:
    await works(serve("elsewhere.example").url.partition("?")[0] + "?ssl_cert_reqs=none")


async def test_a_server_that_asks_for_a_certificate_is_shown_ours(serve: Serve) -> None:
    server = serve(asks=True)
    own = server.authority.sign("client")
    await works(f"{server.url}&ssl_certfile={own.certificate}&ssl_keyfile={own.key}")
    await refused(server.url, "no secure connection: .*CERTIFICATE_REQUIRED")


async def test_the_key_of_a_certificate_may_need_a_password(serve: Serve) -> None:
    server = serve(asks=True)
    own: Pair = server.authority.sign("client", password=b"open sesame")
    shown = f"{server.url}&ssl_certfile={own.certificate}&ssl_keyfile={own.key}"
    await works(f"{shown}&ssl_password=open+sesame")
    await refused(shown, "ssl_certfile=.*client.key cannot be used", ImproperlyConfigured)


async def test_a_file_that_is_missing_is_named_at_once(serve: Serve) -> None:
    server = serve()
    await refused(server.url + "&ssl_certfile=/no/such.pem", "ssl_certfile=/no/such.pem", ImproperlyConfigured)
    missing = server.url.partition("?")[0] + "?ssl_ca_certs=/no/such.pem"
    await refused(missing, "ssl_ca_certs=/no/such.pem", ImproperlyConfigured)
