"""What a broker guarantees about the size of one call: none grows with what is waiting."""

from __future__ import annotations

from typing import Final

from umbel.contracts.broker import Ended
from umbel.model.job import Job
from umbel.testing.conformance.reclaiming import MAX_MOVED
from umbel.testing.conformance.stage import LEASE, QUEUE, BrokerStage, ids

KIBI: Final = 1024


class LimitConformance(BrokerStage):
    """Bytes of a receive, jobs of a reclaim."""

    async def test_one_receive_carries_about_one_mebibyte(self) -> None:
        envelope = b"x" * (400 * KIBI)
        await self.broker.asend([Job(str(number), QUEUE, envelope) for number in range(6)])
        session = await self.open()
        received: list[str] = []
        while deliveries := await self.take(session, 6):
            assert sum(len(each.envelope) for each in deliveries) <= 1600 * KIBI
            received += ids(deliveries)
        assert received == ["0", "1", "2", "3", "4", "5"]

    async def test_a_job_above_the_byte_limit_is_still_handed_out(self) -> None:
        await self.broker.asend([Job("big", QUEUE, b"x" * (1025 * KIBI))])
        await self.take_one(await self.open(), "big")

    async def test_a_call_moves_at_most_two_hundred_jobs_of_an_ended_session(self) -> None:
        names = [str(number) for number in range(2 * MAX_MOVED + 50)]
        await self.send(*names)
        session = await self.open()
        while await self.take(session, 100):
            pass
        moved: list[int] = []
        while step := (await self.broker.reclaim([QUEUE], LEASE, [Ended(session, ("0", "449"))])).returned:
            moved.append(step)
        assert sum(moved) == len(names)
        assert max(moved) <= MAX_MOVED
        survivor = await self.open()
        received = [each for _ in range(5) for each in await self.take(survivor, 100)]
        assert sorted(ids(received), key=int) == names
        assert {each.id for each in received if each.counts.crashes} == {"0", "449"}

    async def test_a_call_moves_at_most_two_hundred_due_jobs(self) -> None:
        await self.send(*(str(number) for number in range(MAX_MOVED + 50)), delay=1.0)
        await self.advance(1)
        first = (await self.broker.reclaim([QUEUE], LEASE)).promoted
        assert 0 < first <= MAX_MOVED
        assert first + (await self.reclaim()).promoted == MAX_MOVED + 50
