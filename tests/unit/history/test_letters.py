"""Filters mean of dead letters what they mean of jobs, as far as the broker knows it; the rest is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from umbel.app.dead import DeadLetter
from umbel.history.grammar import FilterError
from umbel.history.letters import Chosen, LetterFilter
from umbel.security.redaction import Redaction, Sketch
from umbel.wire.envelope import Envelope, encode

NOW = 1_000_000.0
SKETCH = Sketch(names=("account", "cents", "pin"), hidden=("pin",))


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


ENVELOPE = Envelope(
    task="shop.pay",
    created=NOW - 7_200,
    args=raw(["acme", 300, "4711"]),
    kwargs=raw({"user": {"id": 42}, "token": "s3cret"}),
    headers={"tenant": "umbrella", "umbel_schedule": "nightly"},
    root_id="root-1",
    eta=NOW - 7_000,
)
LETTER = DeadLetter(
    id="job-1",
    queue="payments",
    task="shop.pay",
    args=None,
    kwargs=None,
    buried=NOW - 3_600,
    reason="stripe.CardDeclined: card ending in 17 was declined",
    attempts=4,
    retries=3,
    crashes=0,
    worker="umbel@web-1",
    traceback="",
    envelope=encode(ENVELOPE),
    priority=9,
)


def made(text: str) -> LetterFilter:
    return LetterFilter(text, NOW, Redaction(), lambda _: SKETCH)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "state:dead",
        "state:failed,rejected",
        "task:shop.* queue:payments worker:*web-1",
        "task:shop.pay,shop.ship -queue:mail",
        "error:CardDeclined",
        "error:stripe.*",
        "id:job-0,job-1 root:root-1 schedule:nightly",
        "priority:9 attempt>3 retries>=3 retries<=3 crashes:0 crashes<1",
        "retries!=2,5",
        "since:2h until:30m",
        "finished:1h",
        "sent<90m sent:3h eta<1h",
        "has:error",
        "arg.account:acme arg.cents:300 args.0:acme",
        'arg.user.id:42 kwargs.user.id:42 -arg.user.id:"42"',
        "header.tenant:umbrella",
        "DECLINED",
        '"card ending"',
        "(task:x OR crashes:0) NOT mail",
    ],
)
def test_what_fits_is_found(text: str) -> None:
    assert made(text).matches(LETTER)


@pytest.mark.parametrize(
    "text",
    [
        "state:failed",
        "task:shop",
        'task:"shop.*"',
        "error:Card",
        "parent:root-1",
        "retries!=3",
        "attempt>4",
        "since:30m",
        "until:2h",
        "sent:1h",
        "arg.cents:301",
        "arg.pin:4711",
        'arg.pin:"***"',
        "arg.token:s3cret",
        "s3cret",
        "4711",
        "-has:error",
    ],
)
def test_what_does_not_fit_and_what_is_hidden_is_not_found(text: str) -> None:
    assert not made(text).matches(LETTER)


@pytest.mark.parametrize(
    ("text", "at", "cure"),
    [
        ("task:a colour:red", 7, "no field"),
        ("task:a run>5s", 7, "leave it out"),
        ("(group:7)", 1, "error:"),
        ("has:result", 0, "only has:error"),
        ("retries:many", 0, "whole number"),
        ("since:noon", 0, "no time"),
        ("task:a (", 8, "missing"),
    ],
)
def test_what_cannot_be_looked_for_is_refused_at_its_place(text: str, at: int, cure: str) -> None:
    with pytest.raises(FilterError, match=cure) as caught:
        made(text)
    assert caught.value.at == at


def test_queues_that_cannot_have_any_are_not_looked_at() -> None:
    assert [name for name in ("mail", "payments", "pay") if made("queue:pay* since:1h").may_be_in(name)] == [
        "payments",
        "pay",
    ]
    assert [name for name in ("a", "b") if made("queue!=a").may_be_in(name)] == ["b"]
    assert all(made("queue:a OR task:b").may_be_in(name) for name in ("a", "b"))


def test_an_error_that_the_broker_has_forgotten_is_asked_for_elsewhere_if_it_matters() -> None:
    forgotten = msgspec.structs.replace(LETTER, reason="")
    asked: list[str] = []

    def why(ids: Sequence[str]) -> dict[str, str]:
        asked.extend(ids)
        return {"job-1": "TimeoutError: no answer"}

    for text, found in (("task:shop.pay", 1), ("error:TimeoutError", 1), ("error:ValueError", 0), ('"no answer"', 1)):
        assert len(Chosen(made(text), why).letters([forgotten, LETTER][:1])) == found
    assert asked == ["job-1"] * 3
    assert Chosen(made("has:error")).letters([forgotten, LETTER]) == [LETTER]


def test_a_letter_that_cannot_be_read_is_found_by_what_the_broker_tells() -> None:
    broken = msgspec.structs.replace(LETTER, envelope=b"\xc1", task="", reason="DecodeError: it is damaged")
    assert made("queue:payments error:DecodeError damaged").matches(broken)
    assert not made("arg.cents:300").matches(broken)
