"""What a broker guarantees about schedules: each tick is one job, whoever and however many compute it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from umbel.contracts.broker import Broker
from umbel.contracts.capabilities import Power
from umbel.contracts.schedules import ScheduleHolder, ScheduleStore
from umbel.model.ids import new_session
from umbel.model.job import Delivery, Job
from umbel.model.schedule import Change, Entry, State, Table
from umbel.scheduler.scheduler import Scheduler, Terms
from umbel.schedules.book import Book
from umbel.testing.conformance.stage import QUEUE, BrokerStage, body, ids
from umbel.wire import envelope
from umbel.wire.ticks import TICK_HEADER, tick_id

HOUR = 3600.0
DAY = 24 * HOUR
SCOPE = "an app"


class ScheduleStage(BrokerStage):
    """Moves on a broker that holds schedules."""

    def store(self, broker: Broker | None = None) -> ScheduleStore:
        """The schedules of the broker under test."""
        holder = broker or self.broker
        assert isinstance(holder, ScheduleHolder)
        return holder.schedule_store

    def scheduler(self, *entries: Entry, broker: Broker | None = None) -> Scheduler:
        """A scheduler whose code has *entries*."""
        inspector: Any = broker or self.broker

        async def living(job_id: str, queue: str) -> bool:
            found = await inspector.alocate(job_id, queue)
            return found.place not in ("ended", "dead", "unknown")

        return Scheduler(self.store(broker), living, Terms(session=new_session(), scope=SCOPE, interval=5.0), entries)

    async def due(self, *schedulers: Scheduler) -> list[Delivery]:
        """Let *schedulers* do at once what is due, and receive what they sent."""
        await asyncio.gather(*(settled(each) for each in schedulers))
        session = await self.open()
        received: list[Delivery] = []
        while found := await self.take(session, 200):
            received += found
        await self.end(session, *received)
        return received

    async def run_for(self, seconds: int, *schedulers: Scheduler) -> list[float]:
        """Let time pass second by second; answers the ticks of the jobs that were received."""
        ticks = ticks_of(await self.due(*schedulers))
        for _ in range(seconds):
            await self.advance(1.0)
            ticks += ticks_of(await self.due(*schedulers))
        return ticks

    async def state(self, name: str = "tick") -> State:
        """How far the schedule *name* has come."""
        book = Book()
        book.reset(await self.store().aread(0))
        found = book.state(name)
        assert found is not None
        return found

    async def edit(self, name: str = "tick", **fields: Any) -> None:
        """Replace fields of the state of *name*, as the API does."""
        book = Book()
        book.reset(await self.store().aread(0))
        state = book.state(name)
        assert state is not None
        change = book.change_state(name, msgspec.structs.replace(state, **fields))
        assert await self.store().awrite([change]) == [True]


class ScheduleDelayConformance(ScheduleStage):
    """What a broker guarantees of the jobs of schedules that knows due times exactly."""

    power: ClassVar[Power | None] = Power.EXACT_DELAYS

    async def test_a_job_for_later_is_delayed(self) -> None:
        await self.store().awrite([Change("a", 0, b"1", (a_job("later", eta=self.clock() + 5),))])
        session = await self.open()
        assert await self.take(session) == []
        await self.advance(5.0)
        assert ids(await self.take(session)) == ["later"]


class HeldScheduleConformance(ScheduleStage):
    """What every broker guarantees that holds schedules: rows that change once, and ticks that run once."""

    power: ClassVar[Power | None] = Power.SCHEDULES

    # --- rows

    async def test_a_row_is_read_as_it_was_written(self) -> None:
        assert await self.store().awrite([Change("a row/of: {any} name", 0, b"\x00\xffvalue")]) == [True]
        table = await self.store().aread(0)
        assert [(row.name, row.value) for row in table.rows] == [("a row/of: {any} name", b"\x00\xffvalue")]
        assert (table.size, table.now) == (1, self.clock())

    async def test_a_row_that_is_there_is_not_made_again(self) -> None:
        assert await self.store().awrite([Change("row", 0, b"first")]) == [True]
        assert await self.store().awrite([Change("row", 0, b"second")]) == [False]
        assert values(await self.store().aread(0)) == {"row": b"first"}

    async def test_a_row_is_replaced_only_as_it_was_seen(self) -> None:
        await self.store().awrite([Change("row", 0, b"first")])
        seen = revision(await self.store().aread(0))
        assert await self.store().awrite([Change("row", seen, b"second")]) == [True]
        assert await self.store().awrite([Change("row", seen, b"third")]) == [False]
        assert values(await self.store().aread(0)) == {"row": b"second"}

    async def test_a_row_is_removed_only_as_it_was_seen(self) -> None:
        await self.store().awrite([Change("row", 0, b"first")])
        seen = revision(await self.store().aread(0))
        assert await self.store().awrite([Change("row", seen + 1, b"")]) == [False]
        assert await self.store().awrite([Change("row", seen, b"")]) == [True]
        assert (await self.store().aread(0)).size == 0

    async def test_a_row_that_is_not_there_is_not_removed(self) -> None:
        assert await self.store().awrite([Change("row", 0, b""), Change("row", 7, b"")]) == [False, False]

    async def test_a_refused_change_stops_no_other(self) -> None:
        await self.store().awrite([Change("a", 0, b"1")])
        changes = [Change("a", 0, b"2"), Change("b", 0, b"1"), Change("c", 9, b"1")]
        assert await self.store().awrite(changes) == [False, True, False]

    async def test_a_read_above_every_revision_tells_the_time_and_nothing_else(self) -> None:
        await self.store().awrite([Change("row", 0, b"value")])
        for table in (await self.store().aread(2**53), self.store().read(2**53)):
            assert (table.rows, table.size) == ((), 1)
            assert table.now == self.clock()

    async def test_a_read_tells_only_what_changed_since(self) -> None:
        await self.store().awrite([Change("a", 0, b"1"), Change("b", 0, b"1")])
        seen = max(row.revision for row in (await self.store().aread(0)).rows)
        await self.store().awrite([Change("b", seen, b"2")])
        table = await self.store().aread(seen)
        assert (values(table), table.size) == ({"b": b"2"}, 2)
        assert values(await self.store().aread(revision(table))) == {}

    async def test_sync_and_async_verbs_see_the_same_rows(self) -> None:
        assert self.store().write([Change("row", 0, b"value")]) == [True]
        assert values(self.store().read(0)) == values(await self.store().aread(0)) == {"row": b"value"}

    async def test_jobs_are_sent_with_their_change_and_not_without_it(self) -> None:
        await self.store().awrite([Change("a", 0, b"1", (a_job("first"),))])
        await self.store().awrite([Change("a", 0, b"2", (a_job("second"),)), Change("b", 0, b"1", (a_job("third"),))])
        deliveries = await self.take(await self.open())
        assert sorted(ids(deliveries)) == ["first", "third"]
        assert {each.envelope for each in deliveries} == {body("first"), body("third")}

    async def test_a_removal_sends_its_jobs_too(self) -> None:
        await self.store().awrite([Change("a", 0, b"1")])
        await self.store().awrite([Change("a", revision(await self.store().aread(0)), b"", (a_job("last"),))])
        assert ids(await self.take(await self.open())) == ["last"]

    async def test_of_many_writers_of_one_row_one_wins(self) -> None:
        stores = [self.store(self.client()) for _ in range(4)]
        jobs = [a_job(f"job-{number}") for number in range(4)]
        writes = [store.awrite([Change("row", 0, b"1", (job,))]) for store, job in zip(stores, jobs, strict=True)]
        answers = await asyncio.gather(*writes)
        assert sorted(answers) == [[False], [False], [False], [True]]
        winner = jobs[answers.index([True])].id
        assert ids(await self.take(await self.open())) == [winner]

    # --- ticks

    async def test_the_first_tick_comes_one_interval_after_the_schedule_was_first_seen(self) -> None:
        scheduler, start = self.scheduler(every(3)), self.clock()
        assert await self.run_for(7, scheduler) == [start + 3, start + 6]

    async def test_each_tick_of_two_schedulers_is_one_job(self) -> None:
        schedulers = [self.scheduler(every(1), broker=self.client()) for _ in range(3)]
        start = self.clock()
        assert await self.run_for(5, *schedulers) == [start + number for number in range(1, 6)]

    async def test_a_tick_has_the_same_job_whoever_computes_it(self) -> None:
        scheduler = self.scheduler(every(1))
        await self.due(scheduler)
        await self.advance(1.0)
        (delivery,) = await self.due(scheduler)
        assert delivery.id == tick_id("tick", round(self.clock() * 1000))

    async def test_the_watermark_outlives_the_job(self) -> None:
        first, second = self.scheduler(every(HOUR)), self.scheduler(every(HOUR), broker=self.client())
        await self.due(first, second)
        await self.advance(HOUR)
        assert len(await self.due(first)) == 1  # it has ended and left no record
        await self.advance(200.0)  # longer than ended jobs are remembered
        assert await self.due(second) == []

    async def test_a_scheduler_that_starts_later_goes_on_where_the_others_are(self) -> None:
        start = self.clock()
        await self.run_for(2, self.scheduler(every(2)))
        assert await self.run_for(4, self.scheduler(every(2))) == [start + 4, start + 6]

    async def test_ticks_that_were_missed_run_once(self) -> None:
        scheduler = self.scheduler(every(60))
        await self.due(scheduler)
        await self.advance(HOUR + 30)
        assert ticks_of(await self.due(scheduler)) == [self.clock() - 30]
        assert await self.due(scheduler) == []

    async def test_ticks_that_are_only_late_all_run(self) -> None:
        scheduler, start = self.scheduler(every(1)), self.clock()
        await self.due(scheduler)
        await self.advance(4.0)
        assert ticks_of(await self.due(scheduler)) == [start + 1, start + 2, start + 3, start + 4]

    async def test_a_paused_schedule_runs_no_more_until_it_is_resumed(self) -> None:
        scheduler = self.scheduler(every(1))
        await self.run_for(1, scheduler)
        await self.edit(paused=True)
        assert await self.run_for(3, scheduler) == []
        await self.edit(paused=False, last=round(self.clock() * 1000))
        assert await self.run_for(1, scheduler) == [self.clock()]

    async def test_a_job_that_has_not_ended_is_not_overlapped(self) -> None:
        scheduler = self.scheduler(every(1, overlap="skip"))
        await self.due(scheduler)
        await self.advance(1.0)
        await settled(scheduler)
        session = await self.open()
        (running,) = await self.take(session)
        await self.advance(1.0)
        assert await self.due(scheduler) == []
        await self.end(session, running)
        assert await self.run_for(1, scheduler) == [self.clock()]

    # --- clocks

    async def test_a_clock_that_is_set_back_repeats_no_tick(self) -> None:
        for seconds in (HOUR, DAY):
            entry = Entry(f"by {seconds}", "crontab * * * * *", "task", envelope.pack(envelope.Envelope("task")), QUEUE)
            scheduler = self.scheduler(entry)
            await self.due(scheduler)
            await self.advance(60.0)
            (tick,) = ticks_of(await self.due(scheduler))
            await self.advance(-seconds)
            assert await self.run_for(3, scheduler) == []
            await self.advance(seconds)
            assert all(each > tick for each in ticks_of(await self.due(scheduler)))

    async def test_an_interval_goes_on_when_the_clock_was_set_back(self) -> None:
        scheduler = self.scheduler(every(1))
        before = await self.run_for(2, scheduler)
        await self.advance(-DAY)
        after = await self.run_for(3, scheduler)
        assert len(before) == 2
        assert after == [self.clock() - 2, self.clock() - 1, self.clock()]

    async def test_a_clock_that_is_set_forward_runs_what_it_passed_once(self) -> None:
        for seconds in (HOUR, DAY):
            scheduler = self.scheduler(every(1))
            await self.due(scheduler)
            await self.advance(seconds)
            assert ticks_of(await self.due(scheduler)) == [self.clock()]

    # --- versions

    async def test_the_schedules_of_the_newest_code_count(self) -> None:
        old, new = self.scheduler(every(1, name="old")), self.scheduler(every(1, name="new"))
        assert await self.names(1, old) == {"old"}
        assert await self.names(3, new, old) == {"new"}

    async def test_a_worker_of_older_code_that_starts_again_changes_nothing(self) -> None:
        await self.names(1, self.scheduler(every(1, name="old")))
        new = self.scheduler(every(1, name="new"))
        await self.names(1, new)
        assert await self.names(3, self.scheduler(every(1, name="old")), new) == {"new"}

    async def test_older_code_counts_again_when_the_newer_has_no_workers_left(self) -> None:
        old = self.scheduler(every(1, name="old"))
        await self.names(1, old)
        await self.names(1, self.scheduler(every(1, name="new")))
        for _ in range(5):
            await self.advance(20.0)
            await self.due(old)
        assert await self.names(2, old) == {"old"}

    async def test_a_schedule_that_was_removed_from_the_code_stops(self) -> None:
        await self.names(1, self.scheduler(every(1, name="kept"), every(1, name="removed")))
        new = self.scheduler(every(1, name="kept"))
        assert await self.names(3, new) == {"kept"}
        assert await self.names(3, self.scheduler()) == set()

    async def names(self, seconds: int, *schedulers: Scheduler) -> set[str]:
        """Let time pass; answers which schedules ran."""
        found: set[str] = set()
        for _ in range(seconds):
            await self.due(*schedulers)
            await self.advance(1.0)
            found |= {str(header(each, "umbel_schedule")) for each in await self.due(*schedulers)}
        return found


class ScheduleConformance(HeldScheduleConformance, ScheduleDelayConformance):
    """All that a broker can guarantee of schedules."""

    power: ClassVar[Power | None] = Power.SCHEDULES


def every(seconds: float, name: str = "tick", **fields: Any) -> Entry:
    """A schedule of so many seconds."""
    template = envelope.pack(envelope.Envelope("task"))
    return Entry(name, f"every {seconds:g}", "task", template, QUEUE, **fields)


async def settled(scheduler: Scheduler) -> None:
    """Let *scheduler* step until it has nothing to do at the moment."""
    for _ in range(20):
        if await scheduler.step() > 0:
            return
    raise AssertionError("a scheduler is never done")


def a_job(job_id: str, **fields: Any) -> Job:
    """A job with an envelope that no engine looks into."""
    return Job(job_id, QUEUE, body(job_id), **fields)


def header(delivery: Delivery, name: str) -> object:
    """A header of the job in *delivery*."""
    return (envelope.decode(delivery.envelope).headers or {})[name]


def ticks_of(deliveries: Sequence[Delivery]) -> list[float]:
    """The ticks that sent *deliveries*, in their order."""
    return sorted(float(str(header(each, TICK_HEADER))) for each in deliveries)


def values(table: Table) -> dict[str, bytes]:
    """The values of the rows that were read."""
    return {row.name: row.value for row in table.rows}


def revision(table: Table) -> int:
    """The revision of the last write that was read."""
    return max(row.revision for row in table.rows)
