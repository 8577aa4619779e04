"""Which error of Umbel a refusal of Redis becomes."""

from __future__ import annotations

import re

import pytest

from umbel.engines.redis_address import parse
from umbel.engines.redis_connection import welcome
from umbel.engines.redis_reply import UNREADY, WrongType, code, refusal
from umbel.exceptions import BrokerError, BrokerFull, ImproperlyConfigured


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", BrokerFull),
        ("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'", BrokerFull),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            BrokerFull,
        ),
        (
            "WRONGTYPE Operation against a key holding the wrong kind of value script: 68f1, on @user_script:101.",
            WrongType,
        ),
        ("ERR Error running script (call to f_68f1): @user_script:9: WRONGTYPE Operation against a key", WrongType),
        ("NOPERM this user has no permissions to run the 'evalsha' command", BrokerError),
        ("ERR user_script:3: unpack(): too many results", BrokerError),
    ],
)
def test_a_refusal_becomes_the_error_that_says_what_to_do(text: str, kind: type[BrokerError]) -> None:
    error = refusal(text, "redis://host/0")
    assert type(error) is kind
    assert "redis://host/0" in str(error)
    assert text in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "ERR max number of clients reached",
        "BUSY Redis is busy running a script.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "CLUSTERDOWN The cluster is down",
        "ERR Error running script (call to f_68f1): @user_script:9: READONLY You can't write",
    ],
)
def test_a_server_that_is_not_ready_is_as_good_as_none(text: str) -> None:
    assert code(text) in UNREADY


@pytest.mark.parametrize(
    "text",
    [
        "ERR The user executing the script can't run this command or subcommand script: 53, on @user_script:2.",
        "ERR Error running script (call to f_68f1): @user_script:2: The user executing it can't run this command",
    ],
)
def test_a_right_that_a_script_lacks_is_named(text: str) -> None:
    assert "lacks the right to use 'hdel'" in str(refusal(text, "server", "local x\nredis.call('HDEL', x)"))
    assert "lacks" not in str(refusal(text, "server", "local x"))
    assert "lacks" not in str(refusal(text, "server"))


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", "correct user and password"),
        ("NOAUTH Authentication required.", "the server wants a password"),
        ("ERR DB index is out of range", "correct the number at the end of the URL"),
        ("MOVED 3999 127.0.0.1:6381", r"write redis\+cluster://"),
        ("ERR This instance has cluster support disabled", "write redis:// instead"),
        ("ERR unknown command 'SENTINEL', with args beginning with: 'x'", "name the Sentinels' addresses"),
        ("ERR unknown command `HELLO`, with args beginning with: `3`", "use Redis 6.2 or later"),
    ],
)
def test_a_refusal_that_only_another_url_ends_names_the_cure(text: str, cure: str) -> None:
    error = refusal(text, "redis://u:***@host/0")
    assert isinstance(error, ImproperlyConfigured)
    assert re.search(rf"^redis://u:\*\*\*@host/0 refused: .*: .*{cure}", str(error))


def test_a_server_that_is_too_old_is_refused() -> None:
    address = parse("redis://host", timeout=1.0, connect_timeout=1.0)
    hello = {b"version": b"6.0.16", b"role": b"master"}
    with pytest.raises(ImproperlyConfigured, match=r"is Redis 6\.0\.16, which is too old: use 6\.2 or later"):
        welcome([hello, b""], address)
    assert welcome([{**hello, b"version": b"6.2.0"}, b""], address).version == 6
    assert welcome([{**hello, b"version": b"255.255.255"}, b""], address).version == 255
