"""What an engine guarantees about a job that its holder amends: kept at once, by the holder alone, until its end."""

from __future__ import annotations

from typing import ClassVar

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.jobs import amender_of
from umbel.model.job import Counts, Delivery
from umbel.testing.conformance.stage import OTHER, QUEUE, BrokerStage, body


class AmendingConformance(BrokerStage):
    """`Amender`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.STEPS

    async def amend(self, session: str, *amended: tuple[Delivery, bytes]) -> list[bool]:
        """Amend in one call."""
        amender = amender_of(self.broker)
        assert amender is not None
        return await amender.amend(session, amended)

    async def test_a_job_whose_holder_dies_comes_back_as_it_was_amended_last(self) -> None:
        session, delivery = await self.started()
        for envelope in (b"\x00first\xff", b"second"):
            assert await self.amend(session, (delivery, envelope)) == [True]
        await self.reclaim(Ended(session, ("job",)))
        again = await self.take_one(await self.open(), "job")
        assert (again.envelope, again.counts.crashes) == (b"second", 1)

    async def test_a_retry_keeps_the_amended_envelope_unless_it_brings_one(self) -> None:
        session, delivery = await self.started()
        await self.amend(session, (delivery, b"amended"))
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(1)))
        again = await self.take_one(session, "job")
        assert again.envelope == b"amended"
        await self.settle(session, Settlement(again, "retry", counts=Counts(2), envelope=b"brought"))
        assert (await self.take_one(session, "job")).envelope == b"brought"

    async def test_a_job_that_is_given_back_stays_amended(self) -> None:
        session, delivery = await self.started()
        await self.amend(session, (delivery, b"amended"))
        await self.settle(session, Settlement(delivery, "release"))
        assert (await self.take_one(session, "job")).envelope == b"amended"

    async def test_only_the_holder_of_a_delivery_amends(self) -> None:
        session, stale = await self.started()
        await self.settle(session, Settlement(stale, "release"))
        delivery = await self.take_one(session, "job")
        other = await self.open()
        assert await self.amend(session, (stale, b"stale")) == [False]
        assert await self.amend(other, (delivery, b"other")) == [False]
        await self.reclaim(Ended(session))
        assert await self.amend(session, (delivery, b"dead")) == [False]
        assert (await self.take_one(other, "job")).envelope == body("job")

    async def test_many_jobs_are_amended_at_once_and_one_that_is_over_is_not(self) -> None:
        await self.send("a", "b")
        await self.send("c", queue=OTHER)
        session = await self.open(QUEUE, OTHER)
        held = [*await self.take(session), *await self.take(session, queues=[OTHER])]
        await self.settle(session, Settlement(held[1], "end"))
        assert await self.amend(session, *((each, each.id.encode()) for each in held)) == [True, False, True]
        await self.settle(session, *(Settlement(each, "release") for each in (held[0], held[2])))
        held = [*await self.take(session), *await self.take(session, queues=[OTHER])]
        assert [(each.id, each.envelope) for each in held] == [("a", b"a"), ("c", b"c")]

    async def test_a_job_that_is_parked_stays_amended(self) -> None:
        session, delivery = await self.started()
        await self.amend(session, (delivery, b"amended"))
        await self.settle(session, Settlement(delivery, "park", task="mail"))
        assert await self.broker.unpark([QUEUE], ["mail"]) == 1
        assert (await self.take_one(session, "job")).envelope == b"amended"
