"""How workers are addressed and heard, in Celery's words: by names, by patterns, a few of them, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from umbel import Umbel
from umbel.contracts.broker import Beat
from umbel.contracts.mailbox import MailboxHolder
from umbel.model import presence
from umbel.model.ids import new_id
from umbel.model.presence import Presence
from umbel.wire.letters import BOX, Answer, Order, decode_order, encode

NAMES = ("mail1@a", "mail2@b", "web@a")
PONG = {"ok": "pong"}


class Cast:
    """Three workers that answer what is for them; *heard* is what each was told."""

    def __init__(self, app: Umbel) -> None:
        self.app = app
        self.heard: list[tuple[str, str]] = []

    async def act(self) -> None:
        """Answer until cancelled."""
        assert isinstance(self.app.broker, MailboxHolder)
        mailbox, after = self.app.broker.mailbox, 0
        while True:
            for letter in await mailbox.ahear(BOX, after, 5):
                after = letter.number
                order = decode_order(letter.message)
                for name in NAMES if not order.to else order.to:
                    await self._answer(name, order)

    async def _answer(self, name: str, order: Order) -> None:
        assert isinstance(self.app.broker, MailboxHolder)
        self.heard.append((name, order.verb))
        if order.reply:
            value = PONG if order.verb == "ping" else order.arguments
            await self.app.broker.mailbox.atell(
                order.reply, [encode(Answer(worker=name, host="host", pid=7, value=value))], 60
            )


@pytest.fixture
async def stage() -> AsyncIterator[Cast]:
    app = Umbel("shop", broker=f"memory://hearing-{new_id()}", set_as_current=False)
    for name in NAMES:
        told = presence.encode(Presence(name, "host", 7, 8, 1, 1, 0.0, ("default",)))
        await app.broker.heartbeat([Beat(name, told)], ["default"], 60, opening=True)
    made = Cast(app)
    acting = asyncio.create_task(made.act())
    yield made
    acting.cancel()
    await app.aclose()


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ({"pattern": "mail*"}, {"mail1@a", "mail2@b"}),
        ({"pattern": "mail*", "matcher": "glob"}, {"mail1@a", "mail2@b"}),
        ({"pattern": r".+@a$", "matcher": "pcre"}, {"mail1@a", "web@a"}),
        ({"pattern": "mail"}, set()),
        ({"pattern": "mail*", "destination": ["web@a"]}, {"web@a"}),
        ({"destination": "web@a"}, {"web@a"}),
        ({"destination": []}, set()),
        ({}, set(NAMES)),
    ],
)
async def test_those_are_asked_who_are_meant(stage: Cast, how: dict[str, Any], names: set[str]) -> None:
    control = stage.app.control
    replies = await control.abroadcast("ping", reply=True, timeout=30, **how)
    assert replies is not None
    assert {name for each in replies for name in each} == names
    assert {name for name, _ in stage.heard} == names
    asked = control.inspect(timeout=30, **how)
    assert {child.node for child in await asked._children(started=False)} == names


async def test_an_order_that_wants_no_answer_reaches_those_alone_who_are_meant(stage: Cast) -> None:
    assert await stage.app.control.abroadcast("shutdown", pattern="web*") is None
    assert await stage.app.control.abroadcast("shutdown", pattern="nobody*") is None
    assert await stage.app.control.abroadcast("shutdown", destination=[]) is None
    await stage.app.control.abroadcast("ping", reply=True, timeout=30)  # after all of them
    assert [told for told in stage.heard if told[1] == "shutdown"] == [("web@a", "shutdown")]


async def test_no_more_than_the_limit_are_waited_for_and_each_is_told_as_it_comes(stage: Cast) -> None:
    heard: list[Any] = []
    replies = await stage.app.control.abroadcast("ping", reply=True, timeout=30, limit=2, callback=heard.append)
    assert replies is not None
    assert len(replies) == 2
    assert sorted(map(str, heard)) == sorted(map(str, replies))
    assert await stage.app.control.inspect(limit=0, timeout=30).aping() is None
    heard.clear()
    assert await stage.app.control.inspect(limit=1, timeout=30, callback=heard.append).ascheduled() == {"mail1@a": []}
    assert heard == [{"mail1@a": []}]


async def test_a_ping_may_name_whom_it_is_for(stage: Cast) -> None:
    asked = stage.app.control.inspect(timeout=30)
    assert await asked.aping(["web@a"]) == {"web@a": PONG}
    assert await asked.aping("web@a") == PONG


async def test_what_celery_lets_one_ask_for_is_answered_or_refused_in_words(stage: Cast) -> None:
    asked = stage.app.control.inspect("web@a", timeout=30)
    assert await asked.aconf(with_defaults=False) == {"with_defaults": False}
    assert await asked.aregistered("rate_limit") == {}
    with pytest.raises(ValueError, match="registered tells of no max_retries: have a command"):
        await asked.aregistered("max_retries")


def test_verbs_take_celerys_words_and_refuse_others() -> None:
    app = Umbel("shop", broker="memory://hearing-words", set_as_current=False)
    control = app.control
    assert control.pool_grow(2, destination=["nobody"], reply=True, timeout=0.5, limit=3) == []
    assert control.add_consumer("mails", reply=False) == control.shutdown(reply=True) == control.ping(pattern="*") == []
    wrong: Any
    for wrong in ({"lmit": 3}, {"replay": True}):
        with pytest.raises(TypeError, match="did you mean"):
            control.pool_grow(2, **wrong)
    with pytest.raises(TypeError, match="did you mean 'pattern'"):
        control.inspect(**cast("Any", {"patern": "*"}))
    with pytest.raises(ValueError, match="matcher is 'sql': give 'glob' or 'pcre'"):
        control.inspect(pattern="*", matcher=cast("Any", "sql"))
    with pytest.raises(ValueError, match="no regular expression"):
        control.inspect(pattern="(", matcher="pcre")
