import ssl

import pytest

from umbel.engines.amqp_address import Node, parse
from umbel.exceptions import ImproperlyConfigured


def test_what_a_url_leaves_out_is_what_rabbitmq_has_by_default() -> None:
    address = parse("amqp://", timeout=4.0)
    assert address.nodes == (Node("localhost", 5672),)
    assert (address.virtual_host, address.username, address.password) == ("/", "guest", "guest")
    assert (address.timeout, address.security) == (4.0, None)
    assert parse("amqp://:1234", timeout=4.0).nodes == (Node("localhost", 1234),)


def test_quoted_parts_are_unquoted() -> None:
    address = parse("amqp://us%40er:p%2Fw@rabbit:1234/a%2Fb", timeout=4.0)
    assert address.nodes == (Node("rabbit", 1234),)
    assert (address.username, address.password, address.virtual_host) == ("us@er", "p/w", "a/b")


@pytest.mark.parametrize("path", ["", "/", "/%2F"])
def test_the_virtual_host_of_no_name_is_the_first_one(path: str) -> None:
    assert parse(f"amqp://rabbit{path}", timeout=4.0).virtual_host == "/"


@pytest.mark.parametrize(
    "rest", ["one/v;two:5;three", "one/v;amqp://two:5;amqp://u:p@three/other", "one,two:5,three/v", "one,two:5/v;three"]
)
def test_further_nodes_follow_after_commas_and_semicolons(rest: str) -> None:
    address = parse(f"amqp://u:p@{rest}", timeout=4.0)
    assert address.nodes == (Node("one", 5672), Node("two", 5), Node("three", 5672))
    assert (address.username, address.password, address.virtual_host) == ("u", "p", "v")


def test_tls_has_its_own_port_and_trusts_nobody_unchecked() -> None:
    address = parse("amqps://rabbit", timeout=4.0)
    assert address.nodes == (Node("rabbit", 5671),)
    assert address.security is not None
    assert address.security.context().verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_may_go_unchecked_when_it_is_said() -> None:
    security = parse("amqps://rabbit?verify=verify_none", timeout=4.0).security
    assert security is not None
    assert security.context().verify_mode is ssl.CERT_NONE


def test_the_time_for_connecting_is_in_milliseconds() -> None:
    assert parse("amqp://rabbit?connection_timeout=1500", timeout=4.0).timeout == 1.5


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://rabbit?heartbeat=5", "unknown option 'heartbeat'"),
        ("amqp://rabbit?connection_timeout=0", "milliseconds above 0"),
        ("amqps://rabbit?verify=maybe", "verify must be one of"),
        ("amqp://rabbit:port", "Port could not be cast"),
        ("amqp://rabbit;", "no further node"),
        ("amqp://rabbit,", "no further node"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=reason):
        parse(url, timeout=4.0)


def test_no_password_is_shown() -> None:
    url = "amqp://user:secret@one;amqp://user:secret@two"
    assert "secret" not in str(parse(url, timeout=4.0))
    with pytest.raises(ImproperlyConfigured) as told:
        parse(f"{url}?x=1;three:x", timeout=4.0)
    assert "secret" not in str(told.value)
