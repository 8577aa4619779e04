"""Which slot a key has, and what nodes say of slots."""

from __future__ import annotations

import pytest

from umbel.engines.redis_command import Command, Script
from umbel.engines.redis_slots import SLOTS, Redirection, key_of, owners, redirection, slot_of

ASKED = ("seed", 7000)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),  # the check value of Redis's specification
        (b"foo", 12182),
        (b"{user1000}.following", 3443),
        (b"foo{}{bar}", 8363),  # an empty pair of braces counts for nothing
        (b"foo{{bar}}zap", 4015),
        (b"foo{bar}{zap}", 5061),
        (b"", 0),
    ],
)
def test_a_key_has_the_slot_that_the_specification_says(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_the_keys_of_a_queue_share_a_slot() -> None:
    assert slot_of(b"umbel:{q}:jobs") == slot_of(b"umbel:{q}:r:id") == slot_of(b"q")


def test_a_command_is_routed_by_its_first_key() -> None:
    assert key_of(Command((b"GET", b"key"))) == b"key"
    assert key_of(Command((b"EVALSHA", "sha", 1, "key", "argument"), Script("name", "text"))) == b"key"


def test_owners_are_read_slot_by_slot() -> None:
    reply = [[0, 1, [b"one", 1, b"id"], [b"replica", 9, b"id"]], [3, SLOTS - 1, [b"two", 2, b"id", []]]]
    found = owners(reply, ASKED)
    assert len(found) == SLOTS
    assert found[:4] == [("one", 1), ("one", 1), None, ("two", 2)]
    assert found[-1] == ("two", 2)


@pytest.mark.parametrize("name", [b"", None, b"?"])
def test_a_node_that_does_not_know_its_name_is_the_one_that_was_asked(name: bytes | None) -> None:
    assert owners([[0, 0, [name, 7001, b"id"]]], ASKED)[0] == ("seed", 7001)


def test_redirections_are_understood() -> None:
    assert redirection("MOVED 3999 127.0.0.1:6381", ASKED) == Redirection(3999, ("127.0.0.1", 6381), once=False)
    assert redirection("ASK 3999 ::1:6381", ASKED) == Redirection(3999, ("::1", 6381), once=True)
    assert redirection("MOVED 3999 :6381", ASKED) == Redirection(3999, ("seed", 6381), once=False)
    assert redirection("ERR MOVED", ASKED) is None
