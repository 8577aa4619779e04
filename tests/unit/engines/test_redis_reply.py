"""Which error of Umbel a refusal of Redis becomes."""

from __future__ import annotations

import pytest

from umbel.engines.redis_reply import UNREADY, WrongType, code, refusal
from umbel.exceptions import BrokerError, BrokerFull


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
