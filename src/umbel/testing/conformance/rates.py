"""What an engine guarantees of how often a job starts: the rate is kept, by everybody together, and never in bursts."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.powers import Inspector
from umbel.model.job import Counts
from umbel.model.limit import Limit, Pace
from umbel.testing.conformance.eventually import soon
from umbel.testing.conformance.limit_stage import TASK, LimitStage, at_once, names, one_every
from umbel.testing.conformance.stage import LEASE, QUEUE
from umbel.testing.conformance.waiting import PROMPT_SECONDS

SLOW = one_every(2.0)
BURST = one_every(2.0, burst=3)
QUICK = one_every(0.05)


class RateConformance(LimitStage):
    """Intervals between two starts, on a clock that the test moves."""

    power: ClassVar = Power.LIMITS

    async def test_one_job_starts_at_once_and_each_other_one_after_an_interval(self) -> None:
        await self.admit("a", "b", "c", limit=SLOW)
        session = await self.open()
        assert await self.all_start(session, SLOW) == ["a"]
        await self.advance(1.9)
        assert await self.all_start(session, SLOW) == []
        await self.advance(0.2)
        assert await self.all_start(session, SLOW) == ["b"]
        await self.advance(2)
        assert await self.all_start(session, SLOW) == ["c"]
        assert await self.held()

    async def test_jobs_that_were_sent_without_asking_keep_the_rate_too(self) -> None:
        await self.send("a", "b", "c")
        session = await self.open()
        assert await self.all_start(session, SLOW) == ["a"]
        assert await self.held("b", "c")
        await self.advance(2.1)
        assert await self.all_start(session, SLOW) == ["b"]

    async def test_a_job_that_asks_does_not_overtake_those_that_are_held(self) -> None:
        await self.admit("a", "b", limit=SLOW)
        await self.advance(2.1)
        await self.send("late", priority=9)
        session = await self.open()
        late = await self.take_one(session, "late")
        assert await self.enter(session, late, limit=SLOW) == ["held"]

    async def test_reclaim_releases_what_is_due_and_tells_of_it(self) -> None:
        await self.admit("a", "b", "c", limit=SLOW)
        session = await self.open()
        assert await self.all_start(session, SLOW) == ["a"]
        answer = await self.broker.reclaim([QUEUE], LEASE)
        assert answer.promoted == 0
        assert answer.next_due == pytest.approx(2.0, abs=0.1)
        await self.advance(2.1)
        assert (await self.broker.reclaim([QUEUE], LEASE)).promoted == 1
        assert await self.is_ready("b")

    async def test_a_limit_without_jobs_is_never_due(self) -> None:
        await self.admit("a", limit=SLOW)
        assert (await self.broker.reclaim([QUEUE], LEASE)).next_due is None

    async def test_while_nobody_works_no_more_than_one_is_released(self) -> None:
        await self.admit(*names("a", 5), limit=SLOW)
        for _ in range(4):
            await self.advance(2.1)
            await self.reclaim()
        assert await self.numbers() == (4, 1, 0)

    async def test_no_more_than_one_interval_is_made_up_for(self) -> None:
        await self.admit(*names("a", 6), limit=SLOW)
        session = await self.open()
        assert await self.all_start(session, SLOW) == ["a0"]
        await self.advance(4.9)
        assert await self.all_start(session, SLOW) == ["a1", "a2"]

    async def test_nothing_is_made_up_for_after_a_pause(self) -> None:
        await self.admit("a", limit=SLOW)
        session = await self.open()
        assert await self.all_start(session, SLOW) == ["a"]
        await self.advance(4.9)
        await self.admit("b", "c", limit=SLOW)
        assert await self.all_start(session, SLOW) == ["b"]

    async def test_a_burst_may_start_at_once_after_a_pause(self) -> None:
        await self.admit(*names("a", 6), limit=BURST)
        session = await self.open()
        assert await self.all_start(session, BURST) == ["a0", "a1", "a2"]
        await self.advance(2.1)
        assert await self.all_start(session, BURST) == ["a3"]

    async def test_a_high_rate_is_kept_though_the_engine_looks_seldom(self) -> None:
        limit = one_every(0.005)
        await self.admit(*names("a", 450), limit=limit)
        session, started = await self.open(), 0
        for _ in range(40):
            started += len(await self.all_start(session, limit))
            await self.advance(0.04)
        assert started == pytest.approx(1.6 / 0.005, rel=0.04)

    async def test_little_of_a_high_rate_is_ahead_of_those_who_work(self) -> None:
        await self.admit(*names("a", 300), limit=one_every(0.01))
        for _ in range(4):
            await self.advance(0.9)
            await self.reclaim()
        _, out, _ = await self.numbers()
        assert 5 <= out <= 10

    async def test_ten_a_second_are_ten_a_second(self) -> None:
        limit = one_every(0.1)
        await self.admit(*names("a", 100), limit=limit)
        session, started = await self.open(), 0
        for number in range(80):
            started += len(await self.all_start(session, limit))
            await self.advance(0.03 + number % 7 * 0.01)
        assert started == pytest.approx(10 * sum(0.03 + number % 7 * 0.01 for number in range(80)), abs=1.5)

    async def test_a_job_whose_session_died_waits_for_no_second_interval(self) -> None:
        await self.admit("a", "b", limit=SLOW)
        session, _ = await self.entered("a", SLOW)
        await self.reclaim(Ended(session))
        await self.entered("a", SLOW)

    async def test_a_retried_job_waits_for_an_interval(self) -> None:
        await self.admit("a", limit=SLOW)
        session, delivery = await self.entered("a", SLOW)
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1)))
        assert await self.all_start(session, SLOW) == []
        await self.advance(2.1)
        assert await self.all_start(session, SLOW) == ["a"]

    async def test_an_interval_and_a_number_at_once_hold_together(self) -> None:
        both = Limit(TASK, pace=Pace(concurrency=1, interval=2.0))
        await self.admit("a", "b", "c", limit=both)
        session, delivery = await self.entered("a", both)
        await self.advance(3)
        assert await self.all_start(session, both) == []
        await self.finish(session, delivery, both)
        session, delivery = await self.entered("b", both)
        await self.finish(session, delivery, both)
        assert await self.all_start(session, both) == []
        await self.advance(2.1)
        await self.entered("c", both)

    async def test_a_clock_that_is_set_back_blocks_nobody_for_longer_than_an_interval(self) -> None:
        await self.admit("a", "b", limit=SLOW)
        session = await self.open()
        assert await self.all_start(session, SLOW) == ["a"]
        await self.advance(-3600)
        await self.admit("c", limit=SLOW)
        await self.advance(2.1)
        assert await self.all_start(session, SLOW) == ["b"]


class RateWaitingConformance(LimitStage):
    """Receivers that sleep while a limit waits for its time, on the real clock."""

    power: ClassVar = Power.LIMITS

    async def test_a_receiver_that_waits_gets_each_job_when_it_is_due_and_none_sooner(self) -> None:
        self.real_time()
        session = await self.open()
        begun = time.monotonic()
        await self.admit("a", "b", "c", limit=QUICK)
        for job_id in ("a", "b", "c"):
            (delivery,) = await soon(self.wait_for(session), PROMPT_SECONDS)
            assert delivery.id == job_id
            assert await self.enter(session, delivery, limit=QUICK) == ["run"]
        assert time.monotonic() - begun >= 0.045

    async def test_a_receiver_that_sleeps_learns_of_what_will_be_due(self) -> None:
        self.real_time()
        await self.admit("a", limit=QUICK)
        busy, _ = await self.entered("a", QUICK)
        assert (await self.woken_by(lambda: self.admit("b", limit=QUICK))).id == "b"
        await self.reclaim(Ended(busy))

    async def test_a_receiver_that_sleeps_learns_of_what_was_held_when_it_asked(self) -> None:
        self.real_time()
        limit = one_every(0.3)
        await self.send("a", "b")
        session = await self.open()
        deliveries = await self.take(session)
        assert len(deliveries) == 2
        delivery = await self.woken_by(lambda: self.enter(session, *deliveries, limit=limit))
        assert delivery.id == "b"


class AdjustingConformance(LimitStage):
    """`LimitStore.adjust`, and what is told of limits."""

    power: ClassVar = Power.LIMITS

    async def adjust(self, pace: Pace | None, queue: str = QUEUE) -> None:
        """Adjust the limits of the task, in both ways."""
        self.limiter.adjust(queue, TASK, pace)
        await self.limiter.aadjust(queue, TASK, pace)

    async def test_an_adjusted_limit_releases_at_once_what_it_allows(self) -> None:
        await self.admit("a", "b", "c", limit=at_once(1))
        await self.adjust(Pace(concurrency=2))
        assert await self.is_ready("a", "b")

    async def test_an_adjusted_limit_stops_what_it_does_not_allow(self) -> None:
        await self.adjust(Pace(concurrency=1))
        await self.admit("a", "b", "c", limit=at_once(3))
        assert await self.is_ready("a")

    async def test_an_adjustment_counts_for_jobs_without_a_limit_of_their_own(self) -> None:
        await self.adjust(Pace(concurrency=1))
        await self.admit("a", "b", limit=Limit(TASK))
        assert await self.held("b")

    async def test_an_adjustment_counts_for_all_keys_of_a_task_in_one_queue(self) -> None:
        await self.admit("a", "b", limit=at_once(1, "x"))
        await self.admit("c", "d", limit=at_once(1, "y"))
        await self.admit("e", "f", limit=Limit("other", pace=Pace(1)))
        await self.adjust(Pace())
        assert await self.held("f")
        assert await self.is_ready("a", "b", "c", "d", "e")

    async def test_without_an_adjustment_the_last_word_of_the_jobs_counts_again(self) -> None:
        await self.adjust(Pace(concurrency=1))
        await self.admit("a", "b", "c", limit=at_once(2))
        await self.adjust(None)
        assert await self.is_ready("a", "b")
        assert await self.held("c")

    async def test_a_long_interval_that_is_made_short_is_over_soon(self) -> None:
        hourly = one_every(3600)
        await self.admit("a", "b", limit=hourly)
        session = await self.open()
        assert await self.all_start(session, hourly) == ["a"]
        await self.adjust(Pace(interval=1.0))
        await self.advance(1.1)
        assert await self.all_start(session, hourly) == ["b"]

    async def test_what_is_released_of_a_crowd_is_released_little_by_little(self) -> None:
        crowd = names("a", 450)
        await self.admit(*crowd, limit=at_once(1))
        await self.adjust(Pace())
        while (await self.broker.reclaim([QUEUE], LEASE)).promoted:
            pass
        assert await self.numbers() == (0, 450, 0)

    async def test_limits_are_listed_with_what_they_allow_and_how_many_jobs_are_where(self) -> None:
        await self.admit("a", "b", "c", limit=at_once(1, "x", turn="one"))
        await self.admit("d", limit=at_once(1, "x", turn="two"))
        await self.admit("e", limit=at_once(4, "y"))
        found = {each.limit.key: each for each in await self.standings(limit=1)}
        assert sorted(found) == ["x", "y"]
        assert (found["x"].limit.task, found["x"].pace, found["x"].adjusted) == (TASK, Pace(1), False)
        assert (found["x"].held, found["x"].out, found["x"].entered, found["x"].turns) == (3, 1, 0, 2)
        assert (found["y"].pace, found["y"].held, found["y"].out) == (Pace(4), 0, 1)

    async def test_adjusted_limits_are_listed_as_such_even_without_jobs(self) -> None:
        await self.adjust(Pace(interval=0.25, burst=2))
        (found,) = await self.standings()
        assert (found.limit.task, found.pace, found.adjusted) == (TASK, Pace(interval=0.25, burst=2), True)
        assert isinstance(self.broker, Inspector)
        assert QUEUE in await self.broker.queues()
        await self.admit("a", limit=at_once(4, "key"))
        listed = [each for each in await self.standings() if each.limit.key == "key"]
        assert [(each.pace, each.adjusted, each.limit.pace) for each in listed] == [
            (Pace(interval=0.25, burst=2), True, Pace(4))
        ]
        await self.adjust(None)
        assert [each.adjusted for each in await self.standings()] == [False]

    async def test_workers_learn_which_tasks_are_adjusted_in_their_queues(self) -> None:
        assert await self.limiter.adjusted([QUEUE]) == []
        await self.adjust(Pace(interval=2.0))
        await self.limiter.aadjust(QUEUE, "second", Pace())
        await self.limiter.aadjust("elsewhere", "third", Pace(1))
        assert sorted(await self.limiter.adjusted([QUEUE, "unknown"])) == [(QUEUE, "second"), (QUEUE, TASK)]
        assert ("elsewhere", "third") in await self.limiter.adjusted(["elsewhere", QUEUE])
        await self.adjust(None)
        assert await self.limiter.adjusted([QUEUE]) == [(QUEUE, "second")]
        assert await self.limiter.adjusted([]) == []

    async def test_what_was_held_by_an_adjustment_alone_is_free_without_it_though_nobody_asks_any_more(self) -> None:
        await self.send(*names("a", 40))
        await self.adjust(Pace(interval=3600.0))
        session = await self.open()
        assert await self.all_start(session, Limit(TASK)) == ["a0"]
        await self.adjust(None)
        assert [each.id for each in await self.take(session, 50)] == names("a", 40)[1:]

    async def test_limits_without_jobs_are_not_listed(self) -> None:
        await self.admit("a", limit=at_once(1))
        await self.finish(*(await self.entered("a", at_once(1))), at_once(1))
        assert await self.standings() == []
        assert await self.standings("unknown") == []
