"""Schedules in the broker: added, edited, paused, run and removed while schedulers run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from umbel import Umbel
from umbel.app.schedules import Schedules
from umbel.brokers.memory import MemoryBroker
from umbel.engines.memory import Space
from umbel.exceptions import AlreadyRegistered, ImproperlyConfigured, NotRegistered
from umbel.model.schedule import Entry
from umbel.scheduler.living import living_at
from umbel.scheduler.scheduler import Scheduler, Terms
from umbel.schedules import clocked, crontab
from umbel.testing import Clock


class Stage:
    """An app whose broker has a clock to move, and a scheduler."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(Space(), self.clock)
        self.app = Umbel("shop", broker=self.broker, backend="memory://", set_as_current=False)

        @self.app.task(name="shop.report")
        def report(kind: str) -> str:
            return kind

        self.schedules = self.app.schedules
        self.begin()

    def begin(self, *entries: Entry) -> None:
        """A new scheduler, whose code has *entries*."""
        terms = Terms(session="one", scope="shop", interval=5.0)
        self.scheduler = Scheduler(self.broker.schedule_store, living_at(self.broker), terms, entries)

    async def run(self, seconds: int) -> int:
        """Let time pass; answers how many jobs were sent."""
        before = await self.waiting()
        for _ in range(seconds):
            self.clock.advance(1.0)
            while await self.scheduler.step() == 0:
                pass
        return await self.waiting() - before

    async def waiting(self) -> int:
        (counts,) = await self.broker.counts(["default"])
        return counts.ready


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_stored_schedule_runs_and_tells_of_it(stage: Stage) -> None:
    view = stage.schedules.add("report", 2, "shop.report", ("short",), overlap="skip", misfire="skip")
    assert (view.rule, view.source, view.runs, view.overlap) == ("every 2", "stored", 0, "skip")
    assert view.next == datetime.fromtimestamp(stage.clock() + 2, UTC)
    assert await stage.run(2) == 1
    view = stage.schedules.get("report")
    assert (view.runs, view.last, view.lateness) == (1, datetime.fromtimestamp(stage.clock(), UTC), 0.0)
    assert stage.broker.locate(view.last_job, None).place == "ready"


async def test_those_of_the_code_are_listed_too(stage: Stage) -> None:
    stage.app.add_periodic_task(1, "shop.report", args=("x",), name="b")
    stage.begin(*stage.app.periodic.entries())
    await stage.run(1)
    stage.schedules.add("a", crontab(), "shop.report", ("x",), timezone="Europe/Berlin")
    assert [(each.name, each.source, each.app) for each in stage.schedules.list()] == [
        ("a", "stored", None),
        ("b", "code", "shop"),
    ]
    assert [each.name for each in Schedules(stage.broker, "memory://x").list()] == ["a", "b"]


async def test_a_paused_schedule_catches_up_nothing_when_it_is_resumed(stage: Stage) -> None:
    stage.schedules.add("report", 1, "shop.report", ("x",))
    assert await stage.run(2) == 2
    stage.schedules.pause("report")
    assert stage.schedules.get("report").paused
    assert stage.schedules.get("report").next is None
    assert await stage.run(30) == 0
    stage.schedules.resume("report")
    assert await stage.run(1) == 1


async def test_an_edit_keeps_the_place_and_a_new_rule_begins_anew(stage: Stage) -> None:
    stage.schedules.add("report", 60, "shop.report", ("x",))
    assert await stage.run(59) == 0
    stage.schedules.add("report", 60, "shop.report", ("y",), replace=True)
    assert await stage.run(1) == 1
    assert await stage.run(30) == 0
    stage.schedules.add("report", 40, "shop.report", ("y",), replace=True)
    assert await stage.run(39) == 0
    assert await stage.run(1) == 1


async def test_a_removed_schedule_runs_no_more(stage: Stage) -> None:
    stage.schedules.add("report", 1, "shop.report", ("x",))
    assert await stage.run(1) == 1
    stage.schedules.remove("report")
    assert await stage.run(3) == 0
    assert stage.schedules.list() == []


async def test_a_job_can_be_sent_beside_the_ticks(stage: Stage) -> None:
    stage.schedules.add("report", 60, "shop.report", ("x",))
    job_id = stage.schedules.run("report")
    assert stage.broker.locate(job_id, None).place == "ready"
    assert stage.schedules.get("report").runs == 0


async def test_once_is_once(stage: Stage) -> None:
    at = datetime.fromtimestamp(stage.clock() + 3, UTC)
    stage.schedules.add("once", clocked(at), "shop.report", ("x",))
    assert await stage.run(10) == 1
    assert stage.schedules.list() == []


async def test_every_verb_has_an_async_twin(stage: Stage) -> None:
    await stage.schedules.aadd("report", 1, "shop.report", ("x",))
    assert await stage.schedules.alist() == stage.schedules.list()
    await stage.schedules.apause("report")
    assert (await stage.schedules.aget("report")).paused
    await stage.schedules.aresume("report")
    assert stage.broker.locate(await stage.schedules.arun("report"), None).place == "ready"
    await stage.schedules.aremove("report")
    assert await stage.schedules.alist() == []


@pytest.mark.parametrize("verb", ["get", "remove", "pause", "resume", "run"])
def test_an_unknown_name_is_told_with_the_nearest(stage: Stage, verb: str) -> None:
    stage.schedules.add("report", 1, "shop.report", ("x",))
    with pytest.raises(NotRegistered, match="there is no schedule 'reprot': did you mean 'report'"):
        getattr(stage.schedules, verb)("reprot")


async def test_a_name_that_is_taken_is_refused(stage: Stage) -> None:
    stage.schedules.add("report", 1, "shop.report", ("x",))
    with pytest.raises(AlreadyRegistered, match="give replace=True"):
        stage.schedules.add("report", 2, "shop.report", ("x",))
    stage.app.add_periodic_task(1, "shop.report", args=("x",), name="mine")
    stage.begin(*stage.app.periodic.entries())
    await stage.run(1)
    with pytest.raises(AlreadyRegistered, match="in the code"):
        stage.schedules.add("mine", 2, "shop.report", ("x",), replace=True)
    with pytest.raises(ImproperlyConfigured, match="remove it there, or pause it"):
        stage.schedules.remove("mine")
    stage.schedules.pause("mine")
    assert await stage.run(2) == 2  # the stored one alone


@pytest.mark.parametrize(
    ("schedule", "options", "reason"),
    [
        (clocked(datetime(2020, 1, 1, tzinfo=UTC)), {}, "is never due from now on"),
        (60, {"end": datetime(2020, 1, 1, tzinfo=UTC)}, "is never due from now on"),
        ("0 0 31 2 *", {}, "cannot be read"),
        (60, {"jiter": 1}, "jiter"),
    ],
)
def test_what_cannot_run_is_not_stored(stage: Stage, schedule: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises((TypeError, ValueError), match=reason):
        stage.schedules.add("x", schedule, "shop.report", ("x",), **options)
    assert stage.schedules.list() == []


def test_without_an_app_nothing_is_added(stage: Stage) -> None:
    with pytest.raises(ImproperlyConfigured, match="with its app"):
        Schedules(stage.broker, "memory://x").add("x", timedelta(seconds=5), "shop.report")


def test_an_app_refuses_schedules_by_the_masked_url_of_its_broker() -> None:
    app = Umbel("x", broker="amqp://user:secret@rabbit/", set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match=re.escape("amqp://user:***@rabbit/ does not")):
        app.schedules.list()


def test_a_broker_that_holds_no_schedules_says_who_does() -> None:
    from umbel.brokers.rabbitmq.broker import RabbitMQBroker

    broker = object.__new__(RabbitMQBroker)
    with pytest.raises(ImproperlyConfigured, match="needs a broker that holds schedules: amqp://x does not"):
        Schedules(broker, "amqp://x").list()
