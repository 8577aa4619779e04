from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from umbel.contracts.broker import Broker
from umbel.model.job import Job
from umbel.wire.envelope import Envelope, encode
from umbel.wire.ticks import TICK_HEADER
from umbel.worker.figures import Line
from umbel.worker.messages import Counted
from umbel.worker.reading import Reading
from umbel.worker.supervisor import meter as module
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.health import Verdict
from umbel.worker.supervisor.meter import Meter


class Plan:
    worker, version, slots, queues = "w", "1", 2, ("q",)


class Living:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.lag = 0.5 * pid


class Family:
    """The children of a worker, as a meter sees them."""

    def __init__(self, *pids: int) -> None:
        self.pids = list(pids)
        self.plan = Plan()
        self.ends = {"died": 1}
        self.counted = None

    @property
    def count(self) -> int:
        return len(self.pids)

    def living(self) -> list[Living]:
        return [Living(pid) for pid in self.pids]

    def running(self) -> int:
        return 1


class Stuck:
    """A broker that never tells how its queues are."""

    async def queues(self) -> list[str]:
        return []

    async def counts(self, queues: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    async def sessions(self, queues: object) -> list[object]:
        return []

    def locate(self, job_id: str, queue: str | None) -> object:
        raise NotImplementedError

    async def alocate(self, job_id: str, queue: str | None) -> object:
        raise NotImplementedError


class Ticking:
    told: Callable[[str, Job], None] | None = None


class Pages:
    """Keeps what was to be written."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def __call__(self, reading: Reading) -> tuple[bytes, str]:
        self.readings.append(reading)
        return b"%d" % len(self.readings), "text/plain"


def made(*pids: int) -> tuple[Meter, Pages, Family]:
    pages, family = Pages(), Family(*pids)
    return Meter(cast(Children, family), lambda: Verdict(live=True, ready=True, reason=""), pages), pages, family


async def test_what_children_have_counted_is_added_up_also_of_those_that_are_gone() -> None:
    meter, pages, family = made(1, 2)
    for pid in (1, 2):
        meter.count(Counted([Line("add", "q", {"succeeded": pid + 2})]))
    family.pids = [1]
    await meter.page()
    (reading,) = pages.readings
    assert [(line.task, line.jobs) for line in reading.lines] == [("add", {"succeeded": 7})]
    assert (reading.lag, reading.children, reading.slots, reading.ended) == (0.5, 1, 2, {"died": 1})


async def test_however_many_ask_the_page_is_made_once_a_second() -> None:
    meter, pages, _ = made(1)
    found = await asyncio.gather(*(meter.page() for _ in range(20)))
    assert (set(found), len(pages.readings)) == ({(b"1", "text/plain")}, 1)


async def test_a_broker_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    meter, pages, _ = made(1)
    meter.broker = cast(Broker, Stuck())
    await meter.page()
    assert (pages.readings[0].reached, pages.readings[0].queues) == (False, ())


async def test_ticks_are_measured_and_told_on() -> None:
    meter, pages, _ = made(1)
    heard: list[str] = []
    scheduler = Ticking()
    scheduler.told = lambda name, _: heard.append(name)
    meter.follow(scheduler)
    tick = Job("id", "q", encode(Envelope("add", headers={TICK_HEADER: 1.0})), 0)
    scheduler.told("nightly", tick)
    await meter.page()
    assert heard == ["nightly"]
    assert sum(pages.readings[0].lateness.buckets.values()) == 1
