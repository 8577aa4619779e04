"""One scheduler in memory: overlaps, single moments, what cannot run, and how long it waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.contracts.schedules import ScheduleStore
from umbel.engines.memory import Space
from umbel.exceptions import BrokerFull, BrokerUnavailable
from umbel.model.job import Job
from umbel.model.schedule import Change, Entry, State, Table, key_of
from umbel.scheduler.scheduler import Scheduler, Terms
from umbel.schedules.book import Book
from umbel.testing import Clock
from umbel.wire import envelope
from umbel.wire.ticks import TICK_HEADER, job_at, template

T = TypeVar("T")
TEMPLATE = template(envelope.pack(envelope.Envelope("task", 5.0, headers={"mine": 1})), relative=True)


class Stage:
    """A broker in memory, a clock, and which jobs have not ended."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.broker = MemoryBroker(Space(), self.clock)
        self.store: ScheduleStore = self.broker.schedule_store
        self.living: set[str] = set()
        self.sent: list[Job] = []
        self.full = False
        self.watched: Callable[[Stage], ScheduleStore] = Watching

    def scheduler(self, *entries: Entry, session: str = "one") -> Scheduler:
        async def living(job_id: str, queue: str) -> bool:
            return job_id in self.living

        return Scheduler(self.watched(self), living, Terms(session=session, scope="app", interval=5.0), entries)

    async def run(self, seconds: int, *schedulers: Scheduler) -> list[float]:
        """Let time pass; answers at which seconds from now jobs were sent for ticks, and the ticks."""
        before, start = len(self.sent), self.clock()
        for second in range(seconds + 1):
            for each in schedulers:
                await settled(each)
            if second < seconds:
                self.clock.advance(1.0)
        return [tick_of(job) - start for job in self.sent[before:]]

    def state(self, name: str = "tick") -> State | None:
        book = Book()
        book.reset(self.store.read(0))
        return book.state(name)


class Watching:
    """The store of a stage; notes the jobs that are sent."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._store = stage.store

    def read(self, since: int) -> Table:
        return self._store.read(since)

    async def aread(self, since: int) -> Table:
        table = self._store.read(since)
        await asyncio.sleep(0)  # others read meanwhile, before anybody writes
        return table

    def write(self, changes: Sequence[Change]) -> list[bool]:
        answers = self._store.write(changes)
        for change, ours in zip(changes, answers, strict=True):
            self._stage.sent += change.jobs if ours else ()
        return answers

    async def awrite(self, changes: Sequence[Change]) -> list[bool]:
        if self._stage.full:
            raise BrokerFull("no room")
        return self.write(changes)


class Careless(Watching):
    """A store that writes whatever it is told, as if nobody else had: the protection, switched off."""

    def write(self, changes: Sequence[Change]) -> list[bool]:
        seen = {row.name: row.revision for row in self._store.read(0).rows}
        return super().write([msgspec.structs.replace(each, revision=seen.get(each.name, 0)) for each in changes])


async def settled(scheduler: Scheduler) -> float:
    for _ in range(20):
        if (seconds := await scheduler.step()) > 0:
            return seconds
    raise AssertionError("it is never done")


def tick_of(job: Job) -> float:
    return float((envelope.decode(job.envelope).headers or {})[TICK_HEADER])


def every(seconds: float = 1, name: str = "tick", **fields: Any) -> Entry:
    return Entry(name, f"every {seconds:g}", "task", TEMPLATE, **fields)


async def test_a_job_carries_its_schedule_and_its_tick() -> None:
    stage = Stage()
    start = stage.clock()
    await stage.run(1, stage.scheduler(every(queue="q", priority=7, expires=30.0)))
    (job,) = stage.sent
    read = envelope.decode(job.envelope)
    assert (job.queue, job.priority, job.eta) == ("q", 7, None)
    assert (read.created, read.expires) == (start + 1, start + 31)
    assert read.headers == {"mine": 1, "umbel_schedule": "tick", "umbel_tick": start + 1}


@pytest.mark.parametrize(("watched", "jobs"), [(Watching, 3), (Careless, 6)])
async def test_that_each_tick_is_sent_once_is_the_work_of_the_comparing_write(
    watched: Callable[[Stage], ScheduleStore], jobs: int
) -> None:
    stage = Stage()
    stage.watched = watched
    both = [stage.scheduler(every(), session=session) for session in ("one", "two")]
    for _ in range(4):
        await asyncio.gather(*map(settled, both))
        stage.clock.advance(1.0)
    assert len(stage.sent) == jobs


async def test_while_the_last_job_lives_a_tick_is_skipped() -> None:
    stage = Stage()
    scheduler = stage.scheduler(every(overlap="skip"))
    assert await stage.run(1, scheduler) == [1]
    stage.living.add(stage.sent[0].id)
    assert await stage.run(5, scheduler) == []
    stage.living.clear()
    assert await stage.run(2, scheduler) == [1, 2]


async def test_while_the_last_job_lives_one_tick_waits() -> None:
    stage = Stage()
    scheduler = stage.scheduler(every(overlap="queue", misfire="skip"))
    await stage.run(1, scheduler)
    stage.living.add(stage.sent[0].id)
    assert await stage.run(20, scheduler) == []
    stage.living.clear()
    assert await stage.run(1, scheduler) == [1]
    assert await stage.run(1, scheduler) == [1]


async def test_a_tick_that_waits_holds_up_no_other_schedule() -> None:
    stage = Stage()
    scheduler = stage.scheduler(every(overlap="queue"), every(name="other"))
    await stage.run(1, scheduler)
    stage.living.add(stage.sent[0].id)
    assert len(await stage.run(3, scheduler)) == 3


async def test_a_stored_schedule_for_once_is_gone_when_it_has_run() -> None:
    stage = Stage()
    at = round(stage.clock() * 1000) + 2000
    entry = Entry("once", f"at {datetime.fromtimestamp(at / 1000, UTC).isoformat()}", "task", TEMPLATE)
    book = Book()
    book.reset(stage.store.read(0))
    stage.store.write([book.change_state("once", State(key_of(entry), at - 2000, at - 2000, entry=entry))])
    assert await stage.run(4, stage.scheduler(), stage.scheduler(session="two")) == [2]
    assert stage.state("once") is None


async def test_jitter_spreads_starts_and_not_ticks() -> None:
    stage = Stage()
    start = stage.clock()
    await stage.run(20, stage.scheduler(every(jitter=10.0)))
    delays = [(job.eta or 0) - tick_of(job) for job in stage.sent]
    assert [tick_of(job) - start for job in stage.sent] == list(range(1, 21))
    assert all(0 <= delay < 10 for delay in delays)
    assert max(delays) - min(delays) > 3
    assert job_at(every(jitter=10.0), 5000).eta == job_at(every(jitter=10.0), 5000).eta


async def test_a_schedule_that_cannot_run_stops_no_other_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    broken = [Entry("a", "every 1", "task", b"no envelope"), Entry("b", "unheard of", "task", TEMPLATE)]
    with caplog.at_level(logging.ERROR, "umbel.scheduler"):
        sent = await stage.run(3, stage.scheduler(*broken, every()))
    assert sent == [1, 2, 3]
    told = [record.getMessage() for record in caplog.records]
    assert sorted(text.split(":")[0] for text in told) == ["The schedule a does not run", "The schedule b does not run"]


async def test_a_stored_schedule_counts_before_one_of_the_code_of_that_name() -> None:
    stage = Stage()
    stored = every(2)
    book = Book()
    book.reset(stage.store.read(0))
    now = round(stage.clock() * 1000)
    stage.store.write([book.change_state("tick", State(key_of(stored), now, now, entry=stored))])
    assert await stage.run(4, stage.scheduler(every(1))) == [2, 4]


async def test_whoever_wrote_last_comes_first_and_the_others_a_little_later() -> None:
    stage = Stage()
    first, second = stage.scheduler(every(10), session="one"), stage.scheduler(every(10), session="two")
    await stage.run(11, first)
    assert await settled(first) == pytest.approx(5.0)  # no more than the interval
    stage.clock.advance(6.0)
    leading, following = await settled(first), await settled(second)
    assert leading <= 3.0 < following <= 3.2


async def test_new_schedules_of_the_code_count_at_once_after_a_reload() -> None:
    stage = Stage()
    scheduler = stage.scheduler(every(name="old"))
    await stage.run(1, scheduler)
    scheduler.replace([every(name="new")])
    await stage.run(2, scheduler)
    assert [name_of(job) for job in stage.sent] == ["old", "new", "new"]


def name_of(job: Job) -> object:
    return (envelope.decode(job.envelope).headers or {})["umbel_schedule"]


async def test_a_scheduler_without_schedules_leaves_nothing_behind() -> None:
    stage = Stage()
    assert await settled(stage.scheduler()) == 5.0
    assert stage.store.read(0).size == 0


async def test_what_is_gone_from_the_code_for_long_is_forgotten() -> None:
    stage = Stage()
    scheduler = stage.scheduler(every(), every(name="other"))
    await stage.run(1, scheduler)
    scheduler.replace([every(name="other")])
    await stage.run(1, scheduler)
    assert stage.state() is not None
    stage.clock.advance(8 * 86_400.0)
    for _ in range(15):  # the version that had it is remembered for ten minutes
        await settled(scheduler)
        stage.clock.advance(60.0)
    assert stage.state() is None
    assert stage.state("other") is not None


async def test_a_full_broker_is_no_outage_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    scheduler = stage.scheduler(every())
    await stage.run(1, scheduler)
    stage.full = True
    assert await stage.run(3, scheduler) == []
    assert caplog.text.count("the broker is full") == 1
    stage.full = False
    assert await stage.run(1, scheduler) == [-2, -1, 0, 1]


class Impatient:
    """Makes one attempt at a time, as an outage does; the first raises *error*."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.failed = asyncio.Event()
        self.succeeded = asyncio.Event()

    async def insist(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        error, self.error = self.error, None
        if error is not None:
            self.failed.set()
            raise error
        answer = await attempt()
        self.succeeded.set()
        return answer


async def test_a_mistake_of_its_own_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    stage, outage = Stage(), Impatient(KeyError("a bug"))
    scheduler = stage.scheduler(every())
    running = asyncio.create_task(scheduler.run(outage))
    await outage.failed.wait()
    scheduler.replace([])  # wakes it
    await outage.succeeded.wait()
    assert "a mistake of its own" in caplog.text
    running.cancel()


async def test_a_broker_that_refuses_ends_it() -> None:
    with pytest.raises(BrokerUnavailable):
        await Stage().scheduler(every()).run(Impatient(BrokerUnavailable("no")))
