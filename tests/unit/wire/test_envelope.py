from __future__ import annotations

import time
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.exceptions import DecodeError, EncodeError
from umbel.wire.envelope import VERSION, Envelope, decode, encode, pack

FULL = Envelope(
    task="pkg.task",
    created=1.5,
    args=msgspec.Raw(b"\x91\x01"),
    kwargs=msgspec.Raw(b"\x81\xa1a\x02"),
    expires=2.5,
    ignore_result=True,
    max_retries=3,
    retry_policy={"backoff": 2.0, "jitter": False, "limit": None},
    soft_time_limit=1.0,
    time_limit=2.0,
    headers={"trace": "abc"},
    root_id="root",
    parent_id="parent",
    origin="1@host",
    eta=3.5,
    priority=9,
)


@pytest.mark.parametrize("envelope", [Envelope("t"), FULL])
def test_an_envelope_arrives_as_it_was_sent(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


def test_what_is_not_set_takes_no_room() -> None:
    assert len(encode(Envelope("t"))) < 20


def test_an_envelope_without_arguments_has_empty_ones() -> None:
    envelope = decode(msgspec.msgpack.encode({"t": "task"}))
    assert msgspec.msgpack.decode(envelope.args) == []
    assert msgspec.msgpack.decode(envelope.kwargs) == {}


def test_arguments_stay_encoded() -> None:
    assert isinstance(decode(encode(FULL)).args, msgspec.Raw)


def test_an_envelope_that_is_too_big_names_task_size_and_setting() -> None:
    envelope = Envelope("pkg.task", args=msgspec.Raw(msgspec.msgpack.encode(["x" * 2000])))
    with pytest.raises(EncodeError, match=r"pkg\.task take 2,0\d\d bytes, more than message_max_bytes \(1,000\)"):
        encode(envelope, 1000)
    assert len(pack(envelope)) > 1000


def test_bytes_above_the_limit_are_refused_unread() -> None:
    with pytest.raises(DecodeError, match="message_max_bytes"):
        decode(b"\x00" * 1001, 1000)


def test_a_later_version_is_refused() -> None:
    with pytest.raises(DecodeError, match="newer"):
        decode(encode(Envelope("t", version=VERSION + 1)))


def test_unknown_fields_of_a_later_minor_version_are_ignored() -> None:
    assert decode(msgspec.msgpack.encode({"t": "task", "zz": [1, 2]})).task == "task"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x00",
        b"\x80",
        b"not msgpack",
        b'{"task": "json"}',
        b"\x80\x04\x95pickle.",
        msgspec.msgpack.encode({"t": 7}),
        msgspec.msgpack.encode({"t": "task", "c": "late"}),
        msgspec.msgpack.encode({"t": "task", "v": -(2**70) if False else "one"}),
        msgspec.msgpack.encode(["t"]),
        b"\x81\xa1t\xa2\xff\xfe",
        b"\x81\xa1t\xdb\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x82\xa1t\xa1x\xa1h" + b"\x81\xa1a" * 100_000,
    ],
)
def test_what_is_no_envelope_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"not an envelope: \S"):
        decode(body)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_the_one_error(body: bytes) -> None:
    try:
        decode(body)
    except DecodeError:
        return


@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_damaged_byte_is_refused_with_the_one_error(position: int, value: int) -> None:
    body = bytearray(encode(FULL))
    body[position % len(body)] = value
    try:
        decode(bytes(body))
    except DecodeError:
        return


def test_a_refusal_costs_little() -> None:
    nested = b"\x82\xa1t\xa1x\xa1h" + b"\x81\xa1a" * 300_000
    begun = time.process_time()
    tracemalloc.start()
    with pytest.raises(DecodeError):
        decode(nested)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - begun < 0.5
    assert peak < 50_000_000
