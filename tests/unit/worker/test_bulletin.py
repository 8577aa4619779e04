"""What a supervisor tells leaves, whenever it is interrupted on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from umbel.journal import Journal
from umbel.model.event import Event
from umbel.settings import Settings
from umbel.testing.conformance.eventually import eventually
from umbel.wire.events import decode
from umbel.worker.supervisor import bulletin
from umbel.worker.supervisor.bulletin import Bulletin

DEADLINE = 30.0


class Log:
    """A log of events that answers when it is *open*."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.told: list[str] = []
        self.heard = asyncio.Event()

    async def aappend(self, batches: Sequence[bytes], bound: int) -> None:
        self.asked.set()
        await self.open.wait()
        self.told += [event.id for batch in batches for event in decode(batch).events]
        self.heard.set()


def made(log: Log) -> Bulletin:
    journal = Journal(cast("Any", log), 100, worker="one@here")
    plan = SimpleNamespace(settings=Settings(), sketches={}, events=True, worker="one@here")
    return Bulletin(journal, cast("Any", plan), cast("Any", None))


def say(found: Bulletin, name: str) -> None:
    found._teller.say(Event("schedule-tick", 1.0, name))


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


async def test_what_is_said_while_others_are_waited_for_leaves_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log()
    log.open.set()
    found = made(log)
    monkeypatch.setattr(bulletin, "PERIOD_SECONDS", 3_600.0)
    say(found, "first")
    flushing = asyncio.ensure_future(found._flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await stopped(flushing)  # as each heartbeat does
    monkeypatch.setattr(bulletin, "PERIOD_SECONDS", 0.0)
    say(found, "second")
    flushing = asyncio.ensure_future(found._flush())
    await asyncio.wait_for(log.heard.wait(), DEADLINE)
    await stopped(flushing)
    assert log.told == ["first", "second"]


async def test_what_the_log_was_slow_to_take_leaves_after_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    found = made(log)
    monkeypatch.setattr(bulletin, "PERIOD_SECONDS", 0.0)
    say(found, "first")
    flushing = asyncio.ensure_future(found._flush())
    await asyncio.wait_for(log.asked.wait(), DEADLINE)
    say(found, "second")
    await stopped(flushing)
    log.open.set()
    flushing = asyncio.ensure_future(found._flush())
    await eventually(lambda: len(log.told) == 2, DEADLINE)
    await stopped(flushing)
    assert log.told == ["first", "second"]
