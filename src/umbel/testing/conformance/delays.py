"""What a broker guarantees about time: a delayed job is ready at its due time, and the next due time is known."""

from __future__ import annotations

import pytest

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import Counts, Job
from umbel.testing.conformance.reclaiming import MAX_MOVED
from umbel.testing.conformance.sending import HOSTILE_IDS
from umbel.testing.conformance.stage import LEASE, OTHER, QUEUE, BrokerStage, body, ids

DAY = 86_400.0


class DelayConformance(BrokerStage):
    """Delays, etas and the delays of retries, on a clock that is moved."""

    power = Power.EXACT_DELAYS

    async def test_a_delayed_job_comes_exactly_when_it_is_due(self) -> None:
        await self.send("job", delay=30.0)
        session = await self.open()
        await self.advance(29.75)
        assert await self.take(session) == []
        await self.advance(0.25)
        await self.take_one(session, "job")

    async def test_a_job_with_an_eta_comes_exactly_then(self) -> None:
        await self.send("job", eta=self.clock() + 30.0)
        session = await self.open()
        await self.advance(29.75)
        assert await self.take(session) == []
        await self.advance(0.25)
        await self.take_one(session, "job")

    async def test_a_job_may_be_delayed_for_thirty_days(self) -> None:
        await self.send("delayed", delay=30 * DAY)
        await self.send("eta", eta=self.clock() + 30 * DAY + 1)
        await self.advance(30 * DAY - 1)
        assert await self.take(await self.open()) == []
        await self.advance(2)
        assert ids(await self.take(await self.open())) == ["delayed", "eta"]

    async def test_delayed_jobs_come_in_the_order_they_are_due(self) -> None:
        for delay in (3.0, 1.0, 5.0, 2.0, 4.0):
            await self.send(str(delay), delay=delay)
        await self.advance(10)
        assert ids(await self.take(await self.open())) == ["1.0", "2.0", "3.0", "4.0", "5.0"]

    async def test_a_delayed_job_keeps_its_priority(self) -> None:
        await self.send("plain", delay=1.0)
        await self.send("urgent", delay=2.0, priority=9)
        await self.advance(3)
        assert ids(await self.take(await self.open())) == ["urgent", "plain"]

    async def test_a_thousand_jobs_due_at_once_all_come(self) -> None:
        names = [str(number) for number in range(1000)]
        await self.send(*names, delay=5.0)
        await self.advance(5)
        session = await self.open()
        received: list[str] = []
        while deliveries := await self.take(session, 100):
            received += ids(deliveries)
        assert sorted(received, key=int) == names

    async def test_a_retried_job_comes_back_when_its_delay_is_over(self) -> None:
        session, delivery = await self.started()
        assert await self.settle(session, Settlement(delivery, "retry", delay=5.0, counts=Counts(retries=1))) == [True]
        await self.advance(4.75)
        assert await self.take(session) == []
        await self.advance(0.25)
        assert (await self.take_one(session, "job")).envelope == body("job")

    async def test_a_delayed_follow_up_comes_when_it_is_due(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "end", follow_ups=(Job("next", QUEUE, b"1", delay=5.0),)))
        await self.advance(4.75)
        assert await self.take(session) == []
        await self.advance(0.25)
        await self.take_one(session, "next")

    async def test_hostile_ids_survive_a_delay_and_a_lost_session(self) -> None:
        await self.send(*HOSTILE_IDS, delay=LEASE)
        await self.advance(LEASE)
        assert len(await self.take(await self.open(), 100)) == len(HOSTILE_IDS)
        assert (await self.lapse()).returned == len(HOSTILE_IDS)
        assert sorted(ids(await self.take(await self.open(), 100))) == sorted(HOSTILE_IDS)


class DueTimeConformance(BrokerStage):
    """Reclaim makes due jobs ready, and says when the next one is due."""

    power = Power.DUE_TIMES

    async def test_due_jobs_are_made_ready(self) -> None:
        await self.send("1", "2", delay=5.0)
        await self.send("3", delay=50.0)
        assert (await self.reclaim()).promoted == 0
        await self.advance(5)
        assert (await self.reclaim()).promoted == 2
        assert sorted(ids(await self.take(await self.open()))) == ["1", "2"]

    async def test_it_answers_when_the_next_job_is_due(self) -> None:
        assert (await self.broker.reclaim([QUEUE], LEASE)).next_due is None
        await self.send("late", delay=60.0)
        await self.send("early", delay=30.0)
        await self.advance(10)
        assert (await self.broker.reclaim([QUEUE], LEASE)).next_due == pytest.approx(20.0, abs=0.1)

    async def test_the_next_due_time_is_the_first_of_all_queues(self) -> None:
        await self.send("late", delay=60.0)
        await self.send("early", delay=30.0, queue=OTHER)
        assert (await self.broker.reclaim([QUEUE, OTHER], LEASE)).next_due == pytest.approx(30.0, abs=0.1)


class DuePortionConformance(BrokerStage):
    """How many due jobs one call of reclaim makes ready."""

    power = Power.DUE_TIMES

    async def test_a_call_moves_at_most_two_hundred_due_jobs(self) -> None:
        await self.send(*(str(number) for number in range(MAX_MOVED + 50)), delay=1.0)
        await self.advance(1)
        first = (await self.broker.reclaim([QUEUE], LEASE)).promoted
        assert 0 < first <= MAX_MOVED
        assert first + (await self.reclaim()).promoted == MAX_MOVED + 50
