"""Children grow and shrink while the worker runs."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from umbel.settings import Settings
from umbel.worker.messages import Loaded
from umbel.worker.options import WorkerOptions
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.plan import make_plan


class Alive:
    """Stands for a child that lives until it is stopped, and that is running *busy* jobs."""

    def __init__(self, busy: int) -> None:
        self.busy = busy
        self.stopped = asyncio.Event()

    def running(self) -> list[int]:
        return [0] * self.busy

    def stop(self, grace: float) -> None:
        assert grace > 3600, "what it runs may be long"
        self.stopped.set()


class Scripted(Children):
    """Children without processes: each place has an `Alive`, and they run 5, 4, 3 … jobs."""

    def __init__(self, number: int) -> None:
        options = WorkerOptions(app="a", processes=number)
        plan = make_plan(options, Loaded("a", Settings(broker_url="sqlite:///x"), []))
        super().__init__(plan, cast("Any", None), cast("Any", None))
        self.born: list[Alive] = []

    async def _keep(self, place: Any) -> None:
        while not place.retired:
            place.child = Alive(5 - len(self.born))
            self.born.append(place.child)
            await place.child.stopped.wait()
            place.child = None


async def test_more_children_live_after_it_grew() -> None:
    children = Scripted(1)
    async with asyncio.timeout(20):
        running = asyncio.create_task(children.run())
        await asyncio.sleep(0)
        assert children.grow(2) == children.count == 3
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()


async def test_the_least_busy_one_goes_and_none_takes_its_place() -> None:
    children = Scripted(3)
    async with asyncio.timeout(20):
        running = asyncio.create_task(children.run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert children.shrink(1) == children.count == 2
        for _ in range(10):
            await asyncio.sleep(0)
        assert [child.stopped.is_set() for child in children.born] == [False, False, True]
        assert children.running() == 5 + 4
        running.cancel()


def test_the_last_child_cannot_go() -> None:
    children = Scripted(2)
    with pytest.raises(ValueError, match="needs one child: it has 2"):
        children.shrink(2)
    assert children.count == 2
