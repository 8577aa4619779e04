"""What is left of a job that is sent again, and what is not."""

from __future__ import annotations

import msgspec
import pytest

from umbel import Umbel
from umbel.app.resending import Kept, Unsendable, next_id, renewed
from umbel.calling import Said
from umbel.canvas.links import START, linked
from umbel.execution.following import follow_ups
from umbel.model.failure import capture
from umbel.model.flow import Part
from umbel.model.job import Delivery
from umbel.model.outcome import Failed, Outcome, Succeeded
from umbel.retelling import RETRY_OF
from umbel.wire import values
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
    links=(Link("q", encode(Envelope("shop.thank"))),),
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


def named() -> Envelope:
    """A job whose callbacks, those of its callbacks and its errback have ids that the caller chose."""
    app = Umbel("shop")
    thank, warn = (app.task(name=name)(_done) for name in ("thank", "warn"))
    sent = thank.s().set(task_id="thank")
    sent.link(thank.s().set(task_id="then"))
    canvas = thank.s().set(task_id="first") | thank.s().set(task_id="second")
    said = linked(Said(), {"link": [sent, canvas], "link_error": [warn.si().set(task_id="warn")]}, app)
    return Envelope("pay", links=said.links, errbacks=said.errbacks)


def followers(old: Envelope, action: str, outcome: Outcome) -> set[str]:
    """The ids of all that follows *outcome* of *old*, sent again."""
    new, found = again(old, action), set[str]()
    waiting = [(next_id(action, "old"), new)]
    while waiting:
        job_id, envelope = waiting.pop()
        for job in follow_ups(Delivery(job_id, "q", 9, 1, b""), envelope, outcome, NOW):
            found.add(job.id)
            waiting.append((job.id, decode(job.envelope)))
    return found


@pytest.mark.parametrize("outcome", [Succeeded(b"\xc0"), Failed(capture(ValueError("no")))])
def test_what_follows_a_job_that_is_sent_again_has_new_ids_each_time(outcome: Outcome) -> None:
    old = named()
    first, second = followers(old, "a", outcome), followers(old, "b", outcome)
    assert len(first) == len(second) == (3 if isinstance(outcome, Succeeded) else 1)
    assert not first & second
    assert not (first | second) & {"thank", "then", "first", "second", "warn"}
    assert first == followers(old, "a", outcome)  # a repeat of the same act sends nothing


def test_no_id_of_the_first_time_is_left_in_what_is_sent_again() -> None:
    new = again(named())
    assert all(name not in encode(new) for name in (b"task_id", b"then"))
    canvas = next(decode(link.envelope) for link in new.links if decode(link.envelope).task == START)
    (form,) = values.decode(canvas.args)
    assert [step["task"] for step in form["kwargs"]["tasks"]] == ["thank", "thank"]


def _done(*args: object) -> None:
    del args
