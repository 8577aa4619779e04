from __future__ import annotations

from typing import Any

import msgspec
import pytest

from umbel.exceptions import DecodeError
from umbel.model.failure import capture
from umbel.model.flow import ALL, Part
from umbel.wire import values
from umbel.wire.envelope import Envelope, pack
from umbel.wire.flow import decode_cause, encode_cause, listed, part_of, with_first

PART = Part("flow", "home", 3, ALL, ((4, 2), (5, 0)), chord=True)


@pytest.mark.parametrize("count", [0, 1, 14, 15, 16, 65_534, 65_535, 65_536])
def test_a_value_comes_before_however_many_arguments(count: int) -> None:
    args = msgspec.Raw(msgspec.msgpack.encode([7] * count))
    assert msgspec.msgpack.decode(with_first(args, b"\xa5first")) == ["first", *[7] * count]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_however_many_values_are_one_list(count: int) -> None:
    encoded = [values.encode(number) for number in range(count)]
    assert msgspec.msgpack.decode(listed(count, encoded)) == list(range(count))
    assert listed(count, [b"".join(encoded[:7]), b"".join(encoded[7:])]) == listed(count, encoded)


@pytest.mark.parametrize("damaged", [b"", b"\xc0", b"\x81\x01\x02", b"\xdc", b"\xdc\x00", b"\xdd\x00\x00\x00", b"\x07"])
def test_arguments_that_are_no_list_are_refused(damaged: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^the arguments are (no list|cut off)"):
        with_first(msgspec.Raw(damaged), b"\x01")


def test_a_cause_comes_back_as_it_was() -> None:
    failure = capture(ValueError("no", 7))
    cause = decode_cause(encode_cause("job", failure))
    assert (cause.job, cause.failure) == ("job", failure)


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"\x92\xa1a", b"\x92\xa1a\x01", b"\x91" * 5000])
def test_a_damaged_cause_is_refused(damaged: bytes) -> None:
    with pytest.raises(DecodeError, match="not the cause of a failure"):
        decode_cause(damaged)


def test_the_part_of_a_later_version_can_be_read() -> None:
    later: dict[str, Any] = msgspec.msgpack.decode(pack(Envelope("task", part=PART)))
    later |= {"v": 99, "a": "no list", "unknown": {"deep": [1]}}
    assert part_of(msgspec.msgpack.encode(later)) == PART


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\x81\xa1f\x01", b"\x81\xa1f\x93\x01\x02\x03", b"\x81" * 5000])
def test_what_has_no_part_that_can_be_read_has_none(damaged: bytes) -> None:
    assert part_of(damaged) is None
    assert part_of(pack(Envelope("task"))) is None
