"""What a broker guarantees about sending: accepted once, whatever is repeated, and carried unchanged."""

from __future__ import annotations

import asyncio

from umbel.model.ids import new_id
from umbel.model.job import MAX_PRIORITY, Counts, Job
from umbel.testing.conformance.stage import OTHER, QUEUE, BrokerStage, body, ids

HOSTILE_IDS = (
    "!",
    "a:b:c",
    "{conformance}",
    "'; drop table job; --",
    '"quoted"',
    "back\\slash",
    "%s%d%n",
    "../../etc/passwd",
    "0",
    "-1",
    "9999999999999999999999",
    "*?[a-z]",
    "~" * 255,
    "3f0e1d2c-4b5a-4678-8796-a5b4c3d2e1f0",
)


class SendingConformance(BrokerStage):
    """The producer's half."""

    async def test_a_sent_job_is_received_as_it_was_sent(self) -> None:
        await self.send("job", priority=3)
        delivery = await self.take_one(await self.open(), "job")
        assert (delivery.queue, delivery.level, delivery.envelope) == (QUEUE, MAX_PRIORITY - 3, body("job"))
        assert delivery.counts == Counts()

    async def test_a_first_delivery_is_not_called_returned(self) -> None:
        _, delivery = await self.started()
        assert not delivery.returned

    async def test_a_sync_send_is_accepted_like_an_async_one(self) -> None:
        self.broker.send([Job("sync", QUEUE, b"1")])
        await self.broker.asend([Job("async", QUEUE, b"2")])
        assert ids(await self.take(await self.open())) == ["sync", "async"]

    async def test_a_sync_send_works_in_a_thread_without_an_event_loop(self) -> None:
        await asyncio.to_thread(self.broker.send, [Job("job", QUEUE, b"1")])
        await self.take_one(await self.open(), "job")

    async def test_sends_from_many_threads_are_all_kept(self) -> None:
        names = [f"job-{number}" for number in range(40)]
        await asyncio.gather(*(asyncio.to_thread(self.broker.send, [Job(each, QUEUE, b"1")]) for each in names))
        assert sorted(ids(await self.take(await self.open(), 100))) == sorted(names)

    async def test_an_empty_batch_sends_nothing(self) -> None:
        self.broker.send([])
        await self.broker.asend([])
        assert await self.take(await self.open()) == []

    async def test_one_batch_reaches_several_queues(self) -> None:
        await self.broker.asend([Job("a", QUEUE, b"1"), Job("b", OTHER, b"2"), Job("c", QUEUE, b"3")])
        session = await self.open(QUEUE, OTHER)
        assert ids(await self.take(session, queues=[QUEUE])) == ["a", "c"]
        assert ids(await self.take(session, queues=[OTHER])) == ["b"]

    async def test_a_thousand_jobs_go_out_in_one_call(self) -> None:
        names = [new_id() for _ in range(1000)]
        await self.send(*names)
        session = await self.open()
        received: list[str] = []
        while deliveries := await self.take(session, 256):
            received += ids(deliveries)
            assert await self.end(session, *deliveries) == [True] * len(deliveries)
        assert received == names

    async def test_an_envelope_of_one_mebibyte_arrives_unchanged(self) -> None:
        envelope = bytes(range(256)) * 4096
        await self.broker.asend([Job("job", QUEUE, envelope)])
        delivery = await self.take_one(await self.open(), "job")
        assert delivery.envelope == envelope

    async def test_an_empty_envelope_arrives_empty(self) -> None:
        await self.broker.asend([Job("job", QUEUE, b"")])
        delivery = await self.take_one(await self.open(), "job")
        assert delivery.envelope == b""

    async def test_hostile_ids_are_only_ids(self) -> None:
        await self.send(*HOSTILE_IDS)
        session = await self.open()
        deliveries = await self.take(session, 100)
        assert ids(deliveries) == list(HOSTILE_IDS)
        assert await self.end(session, *deliveries) == [True] * len(HOSTILE_IDS)
        assert (await self.lapse()).returned == 0

    async def test_every_valid_queue_name_is_a_queue_of_its_own(self) -> None:
        names = ["a", "a:b", "a.b", "a@b", "A", "0", "a-b_c", "q" * 128, ":", "jobs", "ready:0"]
        for name in names:
            await self.broker.asend([Job(f"in {name}".replace(" ", "-"), name, name.encode())])
        for name in names:
            session = await self.open(name)
            assert [each.envelope for each in await self.take(session, queues=[name])] == [name.encode()]
