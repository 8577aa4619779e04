"""What a child and the process of a job hand to each other."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from umbel.model.failure import capture
from umbel.model.job import Counts, Delivery, Job
from umbel.model.outcome import Completed, Crashed, Failed, Ignored, Outcome, Retried, Revoked, Succeeded
from umbel.worker.child.parcel import End, Note, Order, Parcel, Parcels, end_of, outcome_in, packed

DELIVERY = Delivery("id", "default", 9, 3, b"\x80", Counts(1, 2, 3, marked=True), returned=True)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        other.setblocking(False)
        yield one, other


def test_what_is_sent_in_pieces_arrives_whole_and_in_order(ends: tuple[socket.socket, socket.socket]) -> None:
    sent: list[Parcel] = [Order(DELIVERY, b"\x90", 1.5, 2.5), Note(b"n" * 1000), end_of(Succeeded(b"\x01"))]
    parcels, arrived = Parcels(ends[1]), []
    for byte in (data := b"".join(map(packed, sent)))[:-1]:
        ends[0].sendall(bytes([byte]))
        arrived += parcels.read() or []
    assert arrived == sent[:2]
    ends[0].sendall(data[-1:])
    assert parcels.read() == sent[2:]
    assert parcels.read() == []


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(b"\x01", 1.0, (Job("a", "q", b"\x80"),), (("f", "h", 1),)),
        Failed(capture(ValueError("x", 1)), 2.0, dead=True),
        Retried(capture(OSError()), 3.0, 1.0, b"e", charged=False),
        Revoked("terminated"),
        Ignored(1.0),
        Completed(1.0),
        Crashed(1.0),
    ],
)
def test_each_outcome_arrives_as_it_was(outcome: Outcome) -> None:
    assert outcome_in(end_of(outcome)) == outcome


def test_what_is_no_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        outcome_in(End("Popen", b"\x80"))


@pytest.mark.parametrize("rubbish", [b"\x04\x00\x00\x00\xc1abc", b"\xff\xff\xff\xff"])
def test_what_is_no_parcel_ends_the_conversation(ends: tuple[socket.socket, socket.socket], rubbish: bytes) -> None:
    ends[0].sendall(rubbish)
    assert Parcels(ends[1]).read() is None


def test_the_end_of_the_other_side_is_seen(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].close()
    assert Parcels(ends[1]).read() is None
