"""What is left of a job that is sent again, and what is not."""

from __future__ import annotations

import msgspec
import pytest

from umbel.app.resending import Kept, Unsendable, next_id, renewed
from umbel.model.flow import Part
from umbel.retelling import RETRY_OF
from umbel.wire.envelope import Envelope, Link, decode, encode

NOW = 1_000_000.0
OLD = Envelope(
    "shop.pay",
    created=1.0,
    args=msgspec.Raw(b"\x91\x07"),
    expires=2.0,
    eta=3.0,
    max_retries=4,
    time_limit=9.0,
    headers={"tenant": "acme", "umbel_schedule": "nightly", "umbel_tick": 5},
    root_id="root",
    parent_id="parent",
    origin="elsewhere",
    priority=6,
    group_id="group",
    links=(Link("q", b"\x80"),),
    in_chord=True,
    replaced=2,
    steps={"charged": msgspec.Raw(b"\xc3")},
)


def again(old: Envelope, action: str = "act") -> Envelope:
    """The envelope of *old*, sent again."""
    job = renewed(Kept("old", "orders", 6, encode(old)), action, NOW)
    assert (job.queue, job.priority, job.delay, job.eta) == ("orders", 6, 0.0, None)
    return decode(job.envelope)


def test_a_job_is_sent_again_with_what_the_caller_said_and_without_what_was_of_its_moment() -> None:
    new = again(OLD)
    kept = ("task", "args", "kwargs", "max_retries", "time_limit", "root_id", "parent_id", "priority", "links", "steps")
    assert [getattr(new, name) for name in kept] == [getattr(OLD, name) for name in kept]
    assert new.headers == {"tenant": "acme", RETRY_OF: "old"}
    assert (new.created, new.eta, new.expires, new.group_id, new.in_chord, new.replaced) == (
        NOW,
        None,
        None,
        None,
        False,
        0,
    )
    assert new.origin != "elsewhere"


def test_a_retry_of_a_retry_names_the_one_that_it_repeats() -> None:
    new = again(msgspec.structs.replace(OLD, headers={RETRY_OF: "the first"}))
    assert new.headers == {RETRY_OF: "old"}


def test_ids_are_the_same_for_one_act_and_differ_between_acts_and_jobs() -> None:
    assert next_id("a", "x") == next_id("a", "x")
    assert len({next_id("a", "x"), next_id("b", "x"), next_id("a", "y"), "x"}) == 4


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (b"\xc1", "cannot be read"),
        (encode(Envelope("t", part=Part("f", "q", 0, 0, ()))), "retry the flow"),
        (encode(Envelope("t", args=msgspec.Raw(b"\xc5\x03\xe8" + b"x" * 1_000))), "message_max_bytes"),
    ],
)
def test_what_cannot_be_sent_again_says_why(envelope: bytes, reason: str) -> None:
    with pytest.raises(Unsendable, match=reason):
        renewed(Kept("old", "orders", 0, envelope), "act", NOW, 900)
