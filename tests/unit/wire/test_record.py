from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.exceptions import DecodeError
from umbel.model.failure import Failure
from umbel.model.outcome import Result
from umbel.wire.record import decode, encode

FAILED = Result(
    state="FAILURE",
    failure=Failure(
        "OSError", "builtins", "gone", ["gone"], ["note"], "Traceback", Failure("KeyError", "builtins", "k")
    ),
    task="pkg.task",
    queue="default",
    worker="umbel@host",
    retries=3,
    done=1.5,
    run=0.25,
)


@pytest.mark.parametrize("result", [Result("SUCCESS"), Result("SUCCESS", msgspec.Raw(b"\x2a")), FAILED])
def test_a_record_arrives_as_it_was_stored(result: Result) -> None:
    assert decode(encode(result)) == result


def test_a_value_stays_encoded() -> None:
    value = msgspec.msgpack.encode({"a": [1, 2]})
    assert bytes(decode(encode(Result("SUCCESS", msgspec.Raw(value)))).value) == value


def test_what_is_not_set_takes_no_room() -> None:
    assert len(encode(Result("SUCCESS"))) < 20


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"\x91" * 100_000, b"\x81\xa5state\x07", b"garbage"])
def test_what_is_no_record_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"not a result record: \S"):
        decode(body)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_the_one_error(body: bytes) -> None:
    try:
        decode(body)
    except DecodeError:
        return


@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_damaged_byte_is_refused_with_the_one_error(position: int, value: int) -> None:
    body = bytearray(encode(FAILED))
    body[position % len(body)] = value
    try:
        decode(bytes(body))
    except DecodeError:
        return
