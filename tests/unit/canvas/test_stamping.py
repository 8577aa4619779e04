"""Stamps reach every job of a canvas and its callbacks, and travel as Celery's do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.canvas.stage import Stage
from umbel import Signature, chain, chord, group, signature
from umbel.canvas import StampingVisitor
from umbel.canvas.stamping import matches, restamped, under
from umbel.wire import values
from umbel.wire.envelope import MAX_LINK_BYTES, decode

STAGE = Stage("canvas-stamping")
add, total = STAGE.add, STAGE.total


def stamps(sig: Signature[Any], **options: Any) -> list[dict[str, Any]]:
    """The stamps of each job that leaves."""
    return [(envelope.headers or {}).get("stamps", {}) for envelope in STAGE.leaves(sig, **options).envelopes]


class Visitor(StampingVisitor):
    """Notes where it was, and stamps each place with its name."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_signature(self, sig: Signature[Any], **headers: Any) -> dict[str, Any]:
        self.seen.append(f"{sig.task} {sorted(headers)}")
        return {"task": sig.task}

    def on_chain_start(self, sig: chain, **headers: Any) -> dict[str, Any]:
        return {"chain": len(sig), "secret": 1, "stamped_headers": ["chain"]}

    def on_chain_end(self, sig: chain, **headers: Any) -> None:
        self.seen.append("end of chain")

    def on_group_start(self, sig: group, **headers: Any) -> dict[str, Any]:
        return {"group": len(sig)}

    def on_group_end(self, sig: group, **headers: Any) -> None:
        self.seen.append("end of group")

    def on_chord_body(self, sig: chord, **headers: Any) -> dict[str, Any]:
        return {"body": True}

    def on_callback(self, callback: Signature[Any], **headers: Any) -> dict[str, Any]:
        return {"callback": True}


CANVASES = [
    add.s(1, 1),
    add.s(1, 1) | add.s(2),
    group(add.s(1, 1), group(add.s(2, 2))),
    chord([add.s(1, 1), add.s(2, 2) | add.s(3)], total.s() | add.s(4)),
]


@pytest.mark.parametrize("sig", CANVASES, ids=repr)
def test_every_job_of_a_canvas_is_stamped(sig: Signature[Any]) -> None:
    found = stamps(sig.clone().stamp(tenant="acme", shard=3))
    assert found == [{"tenant": "acme", "shard": 3}] * len(found)
    assert stamps(sig) == [{}] * len(found)


def test_a_visitor_says_more_for_each_part() -> None:
    visitor = Visitor()
    canvas = add.s(1, 1) | group(add.s(2), add.s(3)) | total.s()
    found = stamps(canvas.stamp(visitor, tenant="acme"))
    around = {"tenant": "acme", "chain": 2, "group": 2}
    assert found == [
        {"tenant": "acme", "chain": 2, "task": "add"},
        {**around, "task": "add"},
        {**around, "task": "add"},
        {**around, "body": True, "task": "total"},
    ]
    assert visitor.seen[0] == "add ['chain', 'tenant']"
    assert visitor.seen[-1] == "end of chain"


def test_callbacks_and_errbacks_are_stamped() -> None:
    sig = add.s(1, 1).on_error(total.s())
    sig.link(add.s(2))
    (envelope,) = STAGE.leaves(sig.stamp(Visitor(), tenant="acme")).envelopes
    (link,), (errback,) = envelope.links, envelope.errbacks
    told = decode(link.envelope, MAX_LINK_BYTES).headers
    assert told is not None
    assert told["stamps"] == {"tenant": "acme", "callback": True, "task": "add"}
    assert values.decode(errback.signature)["options"]["headers"]["stamps"] == {"tenant": "acme", "task": "total"}
    links_alone = add.s(1, 1)
    links_alone.link(add.s(2))
    links_alone.stamp_links(tenant="acme")
    assert "headers" not in links_alone.options


def test_a_stamp_replaces_one_of_its_name_or_is_added_to_it() -> None:
    assert stamps(add.s(1, 1).stamp(tenant="a").stamp(tenant="b", shard=1)) == [{"tenant": "b", "shard": 1}]
    added = (
        add.s(1, 1).stamp(tenant="a").stamp(append_stamps=True, tenant="b").stamp(append_stamps=True, tenant=["b", "c"])
    )
    assert stamps(added) == [{"tenant": ["a", "b", "c"]}]


def test_headers_of_a_call_leave_the_stamps_of_its_members() -> None:
    canvas = group(add.s(1, 1).stamp(tenant="a"), add.s(2, 2))
    (first, second) = STAGE.leaves(canvas, headers={"trace": "x"}).envelopes
    assert first.headers == {"trace": "x", "stamps": {"tenant": "a"}, "stamped_headers": ["tenant"]}
    assert second.headers == {"trace": "x"}


def test_celerys_form_of_stamps_is_read() -> None:
    form = {"task": "add", "args": [1, 1], "options": {"stamped_headers": ["tenant"], "tenant": "acme", "other": 1}}
    assert stamps(signature(form, app=STAGE.app)) == [{"tenant": "acme"}]


def test_what_takes_the_place_of_a_job_has_its_stamps_but_for_those_of_its_own() -> None:
    canvas = add.s(1, 1).stamp(tenant="own") | add.s(2)
    under(canvas, {"tenant": "old", "shard": 1})
    assert stamps(canvas) == [{"tenant": "own", "shard": 1}, {"tenant": "old", "shard": 1}]
    assert restamped(None, None) == {}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"tenant": "acme"}, True),
        ({"tenant": ["other", "acme"]}, True),
        ({"tenant": "other"}, False),
        ({"tenant": "other", "shard": 2}, True),
        ({"unknown": None}, False),
    ],
)
def test_jobs_are_found_by_any_of_their_stamps(asked: dict[str, Any], found: bool) -> None:
    assert matches({"stamps": {"tenant": "acme", "shard": [1, 2]}}, asked) is found
    assert not matches({"stamps": "damaged"}, asked)
    assert not matches(None, asked)


def test_a_visitor_has_to_say_something_of_signatures() -> None:
    with pytest.raises(NotImplementedError, match="StampingVisitor must define on_signature"):
        add.s(1, 1).stamp(StampingVisitor())
