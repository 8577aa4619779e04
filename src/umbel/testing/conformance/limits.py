"""What a broker guarantees about the size of one call: none grows with what is waiting."""

from __future__ import annotations

from typing import Final

from umbel.model.job import Job
from umbel.testing.conformance.stage import QUEUE, BrokerStage, ids

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
