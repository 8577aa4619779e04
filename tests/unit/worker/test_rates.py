"""Which rates were set is read now and then, and at once when somebody has set one; children are told of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from umbel.exceptions import BrokerUnavailable
from umbel.model import chance
from umbel.settings import Settings
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor import rates
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import make_plan
from umbel.worker.supervisor.rates import Rates

SOME = [("default", "slow")]


class Store:
    """Answers what it is given, in turn; the last one for ever."""

    def __init__(self, *answers: list[tuple[str, str]] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    async def adjusted(self, queues: Sequence[str]) -> list[tuple[str, str]]:
        """The next answer."""
        self.asked.append(tuple(queues))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Told:
    """Children that note what they are told."""

    def __init__(self) -> None:
        self.plan = make_plan(WorkerOptions(app="a"), Loaded("a", Settings(broker_url="sqlite:///x"), []))
        self.told: list[list[tuple[str, str]]] = []

    def adjust(self, adjusted: list[tuple[str, str]]) -> None:
        """Note it."""
        self.told.append(adjusted)


async def until_told(told: Told, count: int) -> None:
    """Wait until they were told so often."""
    async with asyncio.timeout(30):
        while len(told.told) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


def running(store: Store, told: Told) -> tuple[Rates, asyncio.Task[None]]:
    """Rates, and the task that reads them."""
    made = Rates(cast("Any", store), cast("Any", told), Outage("sqlite:///x"))
    return made, asyncio.create_task(made.run())


async def test_they_are_known_before_children_start_also_when_the_broker_comes_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chance, "uniform", lambda *_: 0.001)
    store, told = Store(BrokerUnavailable("away"), SOME), Told()
    made, task = running(store, told)
    async with asyncio.timeout(30):
        await made.known.wait()
    task.cancel()
    assert (told.told, store.asked) == ([SOME], [("default",)] * 2)


async def test_news_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "INTERVAL_SECONDS", 3600.0)
    told = Told()
    made, task = running(Store([], SOME), told)
    await until_told(told, 1)
    made.look()
    await until_told(told, 2)
    task.cancel()
    assert told.told == [[], SOME]


async def test_news_that_nobody_tells_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "INTERVAL_SECONDS", 0.001)
    told = Told()
    _, task = running(Store([], SOME), told)
    await until_told(told, 2)
    task.cancel()
    assert told.told[:2] == [[], SOME]
