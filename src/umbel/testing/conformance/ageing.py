"""What a broker guarantees about jobs that wait long under more urgent ones, where priorities age; see `Ager`."""

from __future__ import annotations

import asyncio

from umbel.contracts.ageing import Ager
from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.powers import Inspector
from umbel.model.job import Counts, Job
from umbel.testing.conformance.job_stage import JobStage
from umbel.testing.conformance.stage import OTHER, QUEUE, body, ids

SECONDS = 60.0


class AgeingConformance(JobStage):
    """Who rises, when, and what becomes of it. Jobs have priority 0 here, level 9, if nothing else is said."""

    power = Power.AGEING

    async def age(self, *queues: str) -> int:
        """Let jobs rise, as a worker does now and then."""
        assert isinstance(self.broker, Ager)
        return await self.broker.age(queues or (QUEUE,), SECONDS)

    async def rise(self, levels: int = 1) -> None:
        """Let *levels* times as much time pass as lets jobs rise that nobody takes."""
        await self.age()
        for _ in range(levels):
            await self.advance(SECONDS)
            assert await self.age() > 0

    async def levels(self) -> dict[str, int]:
        """The level of each ready job."""
        return {each.id: each.level for each in await self.listed("ready")}

    async def serve(self, seconds: float, *, ageing: bool) -> list[str]:
        """Send and take one urgent job after the other for so long; answers all that was taken."""
        session, taken = await self.open(), list[str]()
        for number in range(int(seconds / SECONDS * 2)):
            await self.send(f"urgent{number}a", f"urgent{number}b", priority=2)
            for delivery in await self.take(session, 2):
                taken.append(delivery.id)
                await self.end(session, delivery)
            await self.advance(SECONDS / 2)
            if ageing:
                await self.age()
        return taken

    async def test_a_job_under_a_steady_stream_of_urgent_ones_starves_where_priorities_do_not_age(self) -> None:
        await self.send("old")
        assert "old" not in await self.serve(10 * SECONDS, ageing=False)

    async def test_where_they_age_it_runs_after_a_period_for_each_priority_above_it(self) -> None:
        await self.send("old")
        assert "old" in await self.serve(4 * SECONDS, ageing=True)

    async def test_a_level_rises_when_nothing_of_it_was_taken_for_so_long_and_not_before(self) -> None:
        await self.send("old")
        assert await self.age() == 0
        await self.advance(SECONDS - 1)
        assert await self.age() == 0
        await self.advance(1)
        assert await self.age() == 1
        assert await self.levels() == {"old": 8}

    async def test_a_level_of_which_jobs_are_taken_does_not_rise(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        for job_id in ("1", "2"):
            await self.age()
            await self.advance(SECONDS - 1)
            await self.take_one(session, job_id)
        assert await self.age() == 0
        assert await self.levels() == {"3": 9}

    async def test_what_rises_goes_to_the_end_of_the_next_level_in_its_order(self) -> None:
        await self.send("1", "2", "3")
        await self.age()
        await self.advance(SECONDS)
        await self.send("urgent", "also urgent", priority=1)
        await self.send("urgent in another queue", queue=OTHER, priority=1)
        assert await self.age() == 3
        await self.send("later", priority=1)
        assert ids(await self.take(await self.open())) == ["urgent", "also urgent", "1", "2", "3", "later"]

    async def test_several_who_look_after_a_queue_let_nothing_rise_faster(self) -> None:
        other = self.client()
        assert isinstance(other, Ager)
        await self.send("old")
        for expected in (9, 8, 7):
            await self.age()
            await other.age([QUEUE], SECONDS)
            assert await self.levels() == {"old": expected}
            await self.advance(SECONDS / 2)
            await other.age([QUEUE], SECONDS)
            await self.age()
            assert await self.levels() == {"old": expected}
            await self.advance(SECONDS / 2)

    async def test_a_level_gives_up_two_hundred_jobs_at_a_time_and_its_clock_starts_anew(self) -> None:
        names = [f"{number:03}" for number in range(230)]
        await self.broker.asend([Job(each, QUEUE, body(each)) for each in names])
        await self.rise()
        assert await self.age() == 0
        risen = sorted(job_id for job_id, level in (await self.levels()).items() if level == 8)
        assert risen == names[:200]
        await self.advance(SECONDS)
        assert await self.age() == 230
        assert ids(await self.take(await self.open(), 230)) == names

    async def test_the_most_urgent_level_stays_as_it_is(self) -> None:
        await self.send("most urgent", priority=9)
        await self.send("old", priority=8)
        await self.rise()
        await self.advance(10 * SECONDS)
        assert await self.age() == 0
        assert await self.levels() == {"most urgent": 0, "old": 0}
        assert ids(await self.take(await self.open())) == ["most urgent", "old"]

    async def test_jobs_of_a_paused_queue_do_not_rise_and_their_time_begins_when_it_goes_on(self) -> None:
        await self.send("old")
        await self.age()
        await self.jobs.apause(QUEUE, paused=True)
        await self.advance(SECONDS)
        assert await self.age() == 0
        await self.jobs.apause(QUEUE, paused=False)
        assert await self.age() == 0
        await self.advance(SECONDS)
        assert await self.age() == 1

    async def test_only_ready_jobs_rise(self) -> None:
        await self.park("parked")
        await self.started("running")
        await self.send("delayed", delay=10 * SECONDS)
        await self.age()
        await self.advance(SECONDS)
        assert await self.age() == 0

    async def test_while_jobs_rise_and_are_taken_none_is_lost_and_none_handed_out_twice(self) -> None:
        for priority in range(4):
            await self.send(*(f"{priority}-{number}" for number in range(30)), priority=priority)
        session, other, taken, raised = await self.open(), self.client(), list[str](), [0]
        assert isinstance(other, Ager)

        async def work() -> None:
            while len(taken) < 120:
                deliveries = await self.take(session, 5)  # may be none: those that rise just now are passed by
                taken.extend(ids(deliveries))
                await self.end(session, *deliveries)
                await asyncio.sleep(0)

        async def age() -> None:
            while len(taken) < 120:
                raised[0] += await other.age([QUEUE], 0.0)
                await asyncio.sleep(0)

        async with asyncio.timeout(SECONDS):
            await asyncio.gather(work(), age())
        assert len(set(taken)) == 120
        assert raised[0] > 0

    async def test_a_job_that_was_retried_is_as_urgent_as_it_had_become(self) -> None:
        await self.send("old")
        await self.rise(2)
        session = await self.open()
        delivery = await self.take_one(session, "old")
        assert delivery.level == 7
        assert await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1))) == [True]
        await self.send("urgent", priority=1)
        again, _ = await self.take(session)
        assert (again.id, again.level, again.counts.retries) == ("old", 7, 1)

    async def test_a_job_that_rose_is_counted_found_and_revoked_like_any_other(self) -> None:
        await self.send("old", "older")
        await self.rise(3)
        assert isinstance(self.broker, Inspector)
        (counts,) = await self.broker.counts([QUEUE])
        assert (counts.ready, counts.oldest) == (2, body("old"))
        assert (await self.located("old")).place == "ready"
        session, deliveries = await self.revoked("old")
        assert ids(deliveries) == ["old"]
        await self.jobs.aend(session, [Settlement(each, "end") for each in deliveries])
        assert await self.levels() == {"older": 6}
        assert ids(await self.take(await self.open())) == ["older"]

    async def test_a_job_that_is_sent_again_after_it_rose_is_the_same_and_keeps_its_level(self) -> None:
        (job,) = await self.send("old")
        await self.rise()
        await self.broker.asend([job])
        assert await self.levels() == {"old": 8}
