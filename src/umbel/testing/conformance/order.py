"""What a broker guarantees about the order of jobs beyond the order in which they were sent."""

from __future__ import annotations

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import Counts
from umbel.testing.conformance.stage import QUEUE, BrokerStage, ids


class FrontConformance(BrokerStage):
    """What comes back is in front of what waits, a retry behind it."""

    power = Power.FRONT

    async def test_a_released_job_is_ready_at_the_front_and_charged_nothing(self) -> None:
        await self.send("1", "2")
        session = await self.open()
        delivery = await self.take_one(session, "1")
        assert await self.settle(session, Settlement(delivery, "release")) == [True]
        again = await self.take(session)
        assert ids(again) == ["1", "2"]
        assert again[0].counts == Counts()

    async def test_released_jobs_return_to_the_front_in_their_order(self) -> None:
        await self.send("1", "2", "3", "4")
        session = await self.open()
        deliveries = await self.take(session, 3)
        await self.settle(session, *(Settlement(each, "release") for each in deliveries))
        assert ids(await self.take(session)) == ["1", "2", "3", "4"]

    async def test_a_retry_without_delay_is_ready_at_once_behind_the_others(self) -> None:
        session, delivery = await self.started()
        await self.send("other")
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1)))
        assert ids(await self.take(session)) == ["other", "job"]

    async def test_unparked_jobs_come_in_the_order_in_which_they_were_parked(self) -> None:
        names = [f"{number:02}" for number in range(20)]
        await self.send(*names)
        session = await self.open()
        await self.settle(session, *(Settlement(each, "park", task="task") for each in await self.take(session, 20)))
        assert await self.broker.unpark([QUEUE], ["task"]) == 20
        assert ids(await self.take(session, 20)) == names


class PriorityConformance(BrokerStage):
    """Ten priorities."""

    power = Power.TEN_PRIORITIES

    async def test_ten_priorities_come_from_the_highest_to_the_lowest(self) -> None:
        for priority in (4, 0, 9, 2, 7, 1, 8, 3, 6, 5):
            await self.send(str(priority), priority=priority)
        assert ids(await self.take(await self.open())) == ["9", "8", "7", "6", "5", "4", "3", "2", "1", "0"]
