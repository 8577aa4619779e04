"""The parts of access, each by itself: names, peers, guesses, sessions, hashes."""

from __future__ import annotations

from typing import Any

import pytest

from umbel.dashboard.access.accounts import Accounts
from umbel.dashboard.access.hosts import Hosts
from umbel.dashboard.access.passwords import hashed_password, hashed_token, is_password, is_token, new_token
from umbel.dashboard.access.peers import Origin, Peers
from umbel.dashboard.access.sessions import Sessions
from umbel.dashboard.access.throttle import FAILURES, MAX_ADDRESSES, WINDOW_SECONDS, Throttle
from umbel.dashboard.access.user import User
from umbel.dashboard.options import Options
from umbel.dashboard.server import Address, check_address
from umbel.exceptions import ImproperlyConfigured


class Clock:
    """Stands still until it is moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("localhost", True),
        ("localhost:5555", True),
        ("shop.localhost:80", True),
        ("LOCALHOST.", True),
        ("127.0.0.1:5555", True),
        ("[::1]:5555", True),
        ("10.1.2.3", True),
        ("jobs.example.com:443", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("jobs.example.com.evil.example", False),
        ("eviljobs.example.com", False),
        ("notlocalhost", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("localhost:x", False),
        ("localhost:1:2", False),
        ("[::1", False),
        ("localhost@evil.example", False),
        ("2130706433", False),
    ],
)
def test_names_of_others_are_refused_and_addresses_are_not(header: str, allowed: bool) -> None:
    assert Hosts(("jobs.example.com", ".example.org")).allows(header) is allowed


@pytest.mark.parametrize(
    ("client", "headers", "address", "secure", "local"),
    [
        (("127.0.0.1", 1), {}, "127.0.0.1", False, True),
        (("::1", 1), {}, "::1", False, True),
        (None, {}, "unix", False, True),
        (("127.0.0.1", 1), {"X-Forwarded-For": "9.9.9.9"}, "127.0.0.1", False, False),
        (("127.0.0.1", 1), {"Forwarded": "for=9.9.9.9"}, "127.0.0.1", False, False),
        (("9.9.9.9", 1), {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}, "9.9.9.9", False, False),
        (("10.0.0.1", 1), {"X-Forwarded-For": "9.9.9.9"}, "9.9.9.9", False, False),
        (("10.0.0.1", 1), {"X-Forwarded-For": "127.0.0.1, 9.9.9.9, 10.0.0.2"}, "9.9.9.9", False, False),
        (("10.0.0.1", 1), {"X-Forwarded-For": "9.9.9.9, nonsense"}, "10.0.0.1", False, False),
        (("::ffff:10.0.0.1", 1), {"X-Forwarded-For": "9.9.9.9"}, "9.9.9.9", False, False),
        (("10.0.0.1", 1), {"X-Forwarded-Proto": "https"}, "10.0.0.1", True, False),
    ],
)
def test_the_word_of_trusted_proxies_counts_and_no_other(
    client: Any, headers: dict[str, str], address: str, secure: bool, local: bool
) -> None:
    found = Peers(("10.0.0.0/8",)).origin(_scope(client, headers))
    assert (found.address, found.secure, found.local) == (address, secure, local)


def test_a_proxy_at_the_unix_socket_is_trusted_if_that_is_said() -> None:
    scope = _scope(None, {"X-Forwarded-For": "9.9.9.9"})
    assert Peers(("unix",)).origin(scope) == Origin("9.9.9.9", trusted=True, secure=False, local=False)


def test_ten_failures_within_a_minute_are_enough() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for place in range(FAILURES):
        assert throttle.wait("9.9.9.9") == 0.0
        clock.now += 1
        throttle.failed("9.9.9.9")
        assert place == FAILURES - 1 or throttle.wait("9.9.9.9") == 0.0
    assert throttle.wait("9.9.9.9") == WINDOW_SECONDS - FAILURES + 1
    assert throttle.wait("9.9.9.8") == 0.0
    clock.now += WINDOW_SECONDS - FAILURES + 1
    assert throttle.wait("9.9.9.9") == 0.0


def test_a_network_of_ipv6_addresses_is_one() -> None:
    throttle = Throttle(Clock())
    for place in range(FAILURES):
        throttle.failed(f"2001:db8::{place}")
    assert throttle.wait("2001:db8::ffff") > 0
    assert throttle.wait("2001:db8:1::1") == 0.0


def test_failures_from_everywhere_fill_no_memory() -> None:
    throttle = Throttle(Clock())
    for place in range(MAX_ADDRESSES + 100):
        throttle.failed(f"address {place}")
    assert len(throttle._failed) == MAX_ADDRESSES


def test_a_session_ends_with_its_time_its_password_its_secret_and_its_user() -> None:
    clock, kept = Clock(), hashed_password("correct horse")
    accounts = Accounts({"ada": {"role": "operator", "password": kept}})
    sessions = Sessions(accounts, "a secret of sixteen", 60.0, clock)
    cookie = sessions.start(User("ada"))
    assert sessions.user(cookie) == User("ada", "operator")  # the role is that of the account
    changed = Accounts({"ada": {"role": "admin", "password": hashed_password("another one")}})
    assert Sessions(changed, "a secret of sixteen", 60.0, clock).user(cookie) is None
    assert Sessions(accounts, "another secret, too", 60.0, clock).user(cookie) is None
    assert Sessions(Accounts({}), "a secret of sixteen", 60.0, clock).user(cookie) is None
    assert Sessions(accounts, "a secret of sixteen", 60.0, clock).user(cookie) is not None
    clock.now += 60
    assert sessions.user(cookie) is None


def test_a_cookie_of_one_user_does_not_do_for_another() -> None:
    kept = hashed_password("correct horse")
    sessions = Sessions(Accounts({"ada": {"password": kept}, "bob": {"password": kept}}), "", 60.0)
    body, _, _ = sessions.start(User("ada")).partition(".")
    _, _, signature = sessions.start(User("bob")).partition(".")
    assert sessions.user(f"{body}.{signature}") is None


def test_hashes_tell_right_from_wrong_and_nothing_else() -> None:
    kept, token = hashed_password("correct horse"), new_token()
    assert is_password("correct horse", kept)
    assert not is_password("correct horsf", kept)
    assert not is_password("x" * 2_000, kept)
    assert not is_password("", "")
    assert kept != hashed_password("correct horse")  # the salt
    assert "$" not in kept  # which files of containers would replace
    assert is_token(token, hashed_token(token))
    assert not is_token(token[:-1], hashed_token(token))
    assert token != new_token()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "jobs.example.com", ""])  # noqa: S104 - refused
def test_a_dashboard_that_asks_nobody_listens_for_its_own_machine_alone(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"could see and do everything: listen at 127\.0\.0\.1, or name"):
        check_address(Address(host), Options())
    check_address(Address(host), Options(resolve_user=lambda _: None))
    check_address(Address(host, unix_socket="umbel.sock"), Options())
    for own in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        check_address(Address(own), Options())


def _scope(client: Any, headers: dict[str, str]) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "client": client, "headers": raw}
