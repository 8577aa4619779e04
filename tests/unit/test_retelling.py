"""What readers make of batches: the events that were told in fewer bytes."""

import json

import msgspec
import pytest

from umbel.exceptions import DecodeError
from umbel.model.event import AS_TEXT, Batch, Event, Runs, Sends, Tally, bucket_of
from umbel.retelling import read
from umbel.wire.envelope import Envelope, encode
from umbel.wire.events import encode as encode_batch


def packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def envelope(*args: object, **kwargs: object) -> bytes:
    raw = msgspec.Raw(packed(args)), msgspec.Raw(packed(kwargs))
    return encode(Envelope("log_in", 5.0, *raw, root_id="root", headers={"token": "t0k", "release": "7"}))


def events(batch: Batch) -> list[Event]:
    found = read(encode_batch(batch))
    assert (found.source, found.number, found.runs, found.sends) == (batch.source, batch.number, (), ())
    return list(found.events)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (packed(7), {"result": "7"}),
        (packed("short"), {"result": '"short"'}),
        (packed(None), {}),
        (AS_TEXT + b'{"token":"***"}', {"result": '{"token":"***"}'}),
        (AS_TEXT + b"\xff", {"result": "\ufffd"}),
    ],
)
def test_plain_successes_become_events(value: bytes, body: dict[str, str]) -> None:
    (event,) = events(Batch("s", 1, 9.0, runs=(Runs("add", "q", (("id", 8.0, 0.5, 0.25, value),)),)))
    assert event == Event("task-succeeded", 8.0, "id", "add", "q", 1, {"run": 0.5, "wait": 0.25, **body})


def test_plain_successes_are_counted_here_since_their_senders_do_not() -> None:
    rows = (("a", 8.0, 0.5, 0.25, packed(7)), ("b", 9.0, 0.5, -1.0, packed(7)))
    batch = Batch("s", 1, 9.0, runs=(Runs("add", "q", rows),), tallies=(Tally("add", "q", 9.0, failed=1),))
    failed, succeeded = read(encode_batch(batch)).tallies
    assert (failed.failed, failed.succeeded) == (1, 0)
    counted = Tally("add", "q", 9.0, succeeded=2, waits={bucket_of(0.25): 1}, runs={bucket_of(0.5): 2})
    assert succeeded == counted


def test_in_batches_of_the_first_version_they_were_counted_already() -> None:
    batch = Batch("s", 1, 9.0, runs=(Runs("add", "q", (("a", 8.0, 0.5, 0.25, packed(7)),)),), version=1)
    assert read(encode_batch(batch)).tallies == ()


def test_what_nobody_knows_is_left_out() -> None:
    (event,) = events(Batch("s", 1, 9.0, runs=(Runs("add", "q", (("id", 8.0, 0.5, -1.0, packed(None)),)),)))
    assert event.body == {"run": 0.5}


def test_jobs_that_were_sent_become_events_with_their_arguments_redacted() -> None:
    job = envelope("joe", "1234", 5, iban="DE1", user="joe")
    sends = Sends("log_in", "q", ("user", "password", "count"), (("id", 8.0, 3, job),))
    (event,) = events(Batch("s", 1, 9.0, sends=(sends,), words=("user",)))
    assert (event.kind, event.at, event.id, event.task, event.queue, event.attempt) == (
        "task-sent", 8.0, "id", "log_in", "q", 0
    )  # fmt: skip
    assert json.loads(event.body["args"]) == ["***", "***", 5]
    assert json.loads(event.body["kwargs"]) == {"iban": "***", "user": "***"}
    assert json.loads(event.body["headers"]) == {"token": "***", "release": "7"}
    assert (event.body["priority"], event.body["root"]) == (3, "root")
    assert event.envelope == job


def test_an_envelope_that_nobody_can_read_is_left_out_and_the_others_are_told() -> None:
    sends = Sends("log_in", "q", (), (("bad", 8.0, 0, b"\xc1nonsense"), ("good", 8.0, 0, envelope(1))))
    assert [event.id for event in events(Batch("s", 1, 9.0, sends=(sends,)))] == ["good"]


def test_events_come_in_the_order_of_their_moments() -> None:
    runs = Runs("add", "q", (("late", 8.0, 0.5, 0.25, packed(1)),))
    sends = Sends("add", "q", (), (("early", 2.0, 0, envelope(1)),))
    found = events(Batch("s", 1, 9.0, events=(Event("task-failed", 5.0, "middle"),), runs=(runs,), sends=(sends,)))
    assert [event.id for event in found] == ["early", "middle", "late"]


def test_nonsense_is_refused() -> None:
    with pytest.raises(DecodeError):
        read(b"nonsense")
