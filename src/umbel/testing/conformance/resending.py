"""What a broker guarantees about an id that is sent again: the job runs once."""

from __future__ import annotations

import asyncio

from umbel.contracts.broker import DONE_MARK_SECONDS, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import MAX_PRIORITY, Counts, Job
from umbel.testing.conformance.sending import HOSTILE_IDS
from umbel.testing.conformance.stage import QUEUE, BrokerStage, ids


class ResendConformance(BrokerStage):
    """An id that waits, runs or has ended lately."""

    power = Power.SENT_ONCE

    async def test_an_id_twice_in_one_batch_is_kept_once(self) -> None:
        await self.broker.asend([Job("job", QUEUE, b"first"), Job("job", QUEUE, b"second")])
        session = await self.open()
        assert [each.envelope for each in await self.take(session)] == [b"first"]

    async def test_the_same_id_sent_at_once_by_many_is_kept_once(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.broker.send, [Job("job", QUEUE, b"1")]) for _ in range(10)))
        await asyncio.gather(*(self.broker.asend([Job("job", QUEUE, b"1")]) for _ in range(10)))
        assert ids(await self.take(await self.open())) == ["job"]

    async def test_hostile_ids_sent_twice_are_kept_once(self) -> None:
        await self.send(*HOSTILE_IDS)
        await self.send(*HOSTILE_IDS)
        session = await self.open()
        deliveries = await self.take(session, 100)
        assert ids(deliveries) == list(HOSTILE_IDS)
        assert await self.end(session, *deliveries) == [True] * len(HOSTILE_IDS)
        assert await self.take(session) == []

    async def test_a_running_job_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.send("job")
        assert await self.take(session) == []
        assert await self.end(session, delivery) == [True]
        assert await self.take(session) == []

    async def test_a_job_that_ended_without_a_record_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery)
        await self.send("job")
        assert await self.take(session) == []

    async def test_a_job_whose_record_lives_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery, record=b"record")
        await self.send("job")
        assert await self.take(session) == []

    async def test_the_done_mark_of_a_job_lasts_for_two_minutes(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery)
        await self.advance(DONE_MARK_SECONDS - 1)
        await self.send("job")
        assert await self.take(await self.open()) == []

    async def test_a_retried_job_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", delay=30.0, counts=Counts(retries=1)))
        await self.send("job")
        assert await self.take(session) == []

    async def test_a_parked_job_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "park", task="unknown"))
        await self.send("job")
        assert await self.take(session) == []

    async def test_a_dead_letter_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "dead"))
        await self.send("job")
        assert await self.take(session) == []

    async def test_a_follow_up_with_a_known_id_is_not_created_again(self) -> None:
        await self.broker.asend([Job("next", QUEUE, b"first")])
        session = await self.open()
        following = await self.take_one(session, "next")
        await self.send("job")
        delivery = await self.take_one(session, "job")
        end = Settlement(delivery, "end", follow_ups=(Job("next", QUEUE, b"second"),))
        assert await self.settle(session, end) == [True]
        assert await self.take(session) == []
        assert await self.end(session, following) == [True]

    async def test_two_jobs_of_a_batch_may_name_the_same_follow_up(self) -> None:
        await self.send("1", "2")
        session = await self.open()
        follow_ups = (Job("next", QUEUE, b"1"),)
        settlements = [Settlement(each, "end", follow_ups=follow_ups) for each in await self.take(session)]
        assert await self.settle(session, *settlements) == [True, True]
        assert ids(await self.take(session)) == ["next"]

    async def test_a_follow_up_with_the_id_of_a_job_of_the_batch_is_not_created(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        first, second, third = await self.take(session)
        verdicts = [
            Settlement(first, "end"),
            Settlement(second, "end", follow_ups=(Job("1", QUEUE, b"again"), Job("2", QUEUE, b"again"))),
            Settlement(third, "end", record=b"record", follow_ups=(Job("3", QUEUE, b"again"),)),
        ]
        assert await self.settle(session, *verdicts) == [True] * 3
        assert await self.take(session) == []


class FirstSendConformance(BrokerStage):
    """An id that was sent twice with different words."""

    power = Power.FIRST_SEND

    async def test_an_id_sent_twice_is_kept_once_as_it_was_first(self) -> None:
        await self.broker.asend([Job("job", QUEUE, b"first")])
        await self.broker.asend([Job("job", QUEUE, b"second", priority=9)])
        session = await self.open()
        delivery = await self.take_one(session, "job")
        assert (delivery.envelope, delivery.level) == (b"first", MAX_PRIORITY)
        assert await self.take(session) == []

    async def test_a_delayed_job_sent_again_keeps_its_first_due_time(self) -> None:
        await self.send("job", delay=30.0)
        await self.send("job")
        assert await self.take(await self.open()) == []
