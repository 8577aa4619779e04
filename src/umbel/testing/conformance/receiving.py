"""What a broker guarantees about receiving: in order, in time, within limits, to one session only."""

from __future__ import annotations

import asyncio
import itertools

from umbel.testing.conformance.eventually import eventually
from umbel.testing.conformance.stage import OTHER, QUEUE, BrokerStage, ids


class ReceivingConformance(BrokerStage):
    """Order, delays and limits."""

    async def test_jobs_of_one_level_come_in_the_order_they_were_sent(self) -> None:
        await self.send("1", "2")
        await self.send("3")
        await self.send("4", "5")
        session = await self.open()
        assert ids(await self.take(session, 2)) == ["1", "2"]
        assert ids(await self.take(session)) == ["3", "4", "5"]

    async def test_jobs_sent_in_the_same_instant_keep_the_order_of_their_batch(self) -> None:
        names = [f"{number:02}" for number in range(20, 0, -1)]
        await self.send(*names)
        assert ids(await self.take(await self.open(), 20)) == names

    async def test_an_urgent_job_overtakes_those_before_it(self) -> None:
        await self.send("plain")
        await self.send("urgent", priority=9)
        assert ids(await self.take(await self.open())) == ["urgent", "plain"]

    async def test_the_limit_of_a_receive_is_kept(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        assert ids(await self.take(session, 1)) == ["1"]
        assert ids(await self.take(session, 2)) == ["2", "3"]

    async def test_the_limit_holds_over_all_queues_together(self) -> None:
        for queue in (QUEUE, OTHER):
            await self.send(*(f"{queue}-{number}" for number in range(5)), queue=queue)
        session = await self.open(QUEUE, OTHER)
        received = list(itertools.chain.from_iterable([await self.take(session, 4, (QUEUE, OTHER)) for _ in range(4)]))
        assert len(received) == len({each.id for each in received}) == 10

    async def test_a_job_is_handed_to_one_session_only(self) -> None:
        await self.send(*(str(number) for number in range(50)))
        sessions = [await self.open() for _ in range(5)]
        received: list[str] = []

        async def more() -> bool:
            batches = await asyncio.gather(*(self.take(each, 7) for each in sessions))
            received.extend(each for batch in batches for each in ids(batch))
            return len(received) >= 50

        await eventually(more)
        await more()
        assert sorted(received, key=int) == [str(number) for number in range(50)]

    async def test_two_clients_share_one_queue(self) -> None:
        await self.send("1", "2")
        other = self.client()
        mine, theirs = await self.open(), await self.open(broker=other)
        assert ids(await self.take(mine, 1)) == ["1"]
        assert ids(await other.receive(theirs, [QUEUE], 1, wait=0)) == ["2"]

    async def test_an_empty_queue_answers_an_empty_list(self) -> None:
        assert await self.take(await self.open()) == []

    async def test_only_the_queues_asked_for_are_looked_at(self) -> None:
        await self.send("elsewhere", queue=OTHER)
        assert await self.take(await self.open(QUEUE, OTHER), queues=[QUEUE]) == []

    async def test_a_busy_queue_starves_no_other(self) -> None:
        for queue in (QUEUE, OTHER):
            await self.send(*(f"{queue}-{number}" for number in range(30)), queue=queue)
        session = await self.open(QUEUE, OTHER)
        served = {each.queue for _ in range(20) for each in await self.take(session, 1, (QUEUE, OTHER))}
        assert served == {QUEUE, OTHER}

    async def test_receive_numbers_of_a_session_rise(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        numbers = [(await self.take(session, 1))[0].number for _ in range(3)]
        assert numbers == sorted(set(numbers))

    async def test_jobs_of_one_receive_share_its_number(self) -> None:
        await self.send("1", "2", "3")
        assert len({each.number for each in await self.take(await self.open())}) == 1

    # --- delays

    async def test_an_eta_in_the_past_is_now(self) -> None:
        await self.send("job", eta=self.clock() - 30.0)
        await self.take_one(await self.open(), "job")

    async def test_jobs_that_are_not_due_hide_no_job_that_is(self) -> None:
        await self.send(*(f"later-{number}" for number in range(50)), delay=60.0, priority=9)
        await self.send("now")
        assert ids(await self.take(await self.open())) == ["now"]
