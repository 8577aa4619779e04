"""What a redis:// URL means, and which ones are refused."""

from __future__ import annotations

import ssl

import pytest

from umbel.engines.redis_address import Address, Security, Watch, parse
from umbel.exceptions import ImproperlyConfigured


def address(url: str) -> Address:
    return parse(url, timeout=5.0, connect_timeout=4.0)


def test_a_bare_url_means_the_usual_port_and_database_zero() -> None:
    found = address("redis://")
    assert (found.host, found.port, found.db, found.password) == ("localhost", 6379, 0, None)
    assert (found.timeout, found.connect_timeout, found.security) == (5.0, 4.0, None)


def test_all_parts_of_a_url_are_read() -> None:
    found = address("redis://al%40ice:s%2Fecret@example.org:7000/3?socket_timeout=2.5&client_name=web")
    assert (found.username, found.password) == ("al@ice", "s/ecret")
    assert (found.host, found.port, found.db) == ("example.org", 7000, 3)
    assert (found.timeout, found.client_name) == (2.5, "web")


def test_an_address_prints_without_its_password() -> None:
    assert str(address("redis://user:secret@host/1?password=other")) == "redis://user:***@host/1?password=***"


@pytest.mark.parametrize("option", ["db", "virtual_host"])
def test_a_unix_socket_has_its_database_in_an_option(option: str) -> None:
    found = address(f"redis+socket:///run/redis%20one.sock?{option}=4")
    assert (found.path, found.db) == ("/run/redis one.sock", 4)


def test_tls_trusts_nobody_unless_told_to() -> None:
    assert address("rediss://host").security == Security(verify=ssl.CERT_REQUIRED, check_hostname=True)


@pytest.mark.parametrize("word", ["none", "CERT_NONE"])
def test_tls_can_be_told_to_trust_everybody(word: str) -> None:
    security = address(f"rediss://host?ssl_cert_reqs={word}").security
    assert security is not None
    context = security.context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://host/zero", "the database must be a number, not 'zero'"),
        ("redis://host?db=-1", "the database must be a number"),
        ("redis://host?max_connections=5", "unknown option 'max_connections'; known are db,"),
        ("redis://host?socket_timeout=0", "socket_timeout must be a number of seconds above 0"),
        ("redis://host?socket_timeout=nan", "socket_timeout must be a number of seconds above 0"),
        ("redis://host?socket_keepalive=perhaps", "socket_keepalive must be true or false"),
        ("redis://host:port/0", "a host is written host:port"),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs must be one of none, optional, required"),
    ],
)
def test_a_url_that_means_nothing_is_refused_and_says_what(url: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="is not an address of a Redis server") as refused:
        address(url)
    assert said in str(refused.value)


def test_a_refused_url_is_masked() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        address("redis://user:secret@host/zero")
    assert "secret" not in str(refused.value)


# --- several hosts


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://al%40ice:secret@one:1,two/jobs/3?sentinel_password=watch",
        "redis+sentinel://al%40ice:secret@one:1,two/3?master_name=jobs&sentinel_password=watch",
        "sentinel://al%40ice:secret@one:1;sentinel://two/3?master_name=jobs&sentinel_password=watch",
        "sentinel://one:1;sentinel://al%40ice:secret@two/3?master_name=jobs&sentinel_password=watch",
    ],
)
def test_sentinels_and_their_service_are_read_from_each_form(url: str) -> None:
    found = address(url)
    assert found.watch == Watch((("one", 1), ("two", 26379)), "jobs", None, "watch")
    assert (found.username, found.password, found.db, found.security) == ("al@ice", "secret", 3, None)
    assert "secret" not in str(found)
    assert "watch" not in str(found).replace("watch=", "")


def test_what_is_said_to_a_sentinel_carries_its_own_login_and_no_database() -> None:
    found = address("redis+sentinel://user:secret@one/jobs/3")
    asked = found.sentinel(("two", 2), "watcher", "other")
    assert (asked.host, asked.port, asked.db) == ("two", 2, 0)
    assert (asked.username, asked.password, asked.primary) == ("watcher", "other", False)
    primary = found.at(("three", 3))
    assert (primary.host, primary.db, primary.username, primary.primary) == ("three", 3, "user", True)


def test_servers_behind_sentinels_may_speak_tls() -> None:
    assert address("rediss+sentinel://one/jobs").security is not None


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert address("redis://[::1]:7000/0").host == "::1"
    found = address("redis+sentinel://[::1]:1,[::2]/jobs")
    assert found.watch is not None
    assert found.watch.hosts == (("::1", 1), ("::2", 26379))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://one,two/0", "several hosts need redis+sentinel:// or redis+cluster://"),
        ("redis+sentinel://one,two", "which service?"),
        ("sentinel://one;sentinel://two", "which service? Add ?master_name="),
        ("redis+sentinel://one:0/jobs", "a port is a number below 65536"),
        ("redis+sentinel://one/jobs/zero", "the database must be a number"),
    ],
)
def test_several_hosts_that_mean_nothing_are_refused(url: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="is not an address of a Redis server") as refused:
        address(url)
    assert said in str(refused.value)
