"""What an engine guarantees of a doomed job: whatever happens to it, its next receiver sees the doom, and soon."""

from __future__ import annotations

from typing import ClassVar

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import Counts, Delivery
from umbel.testing.conformance.eventually import eventually
from umbel.testing.conformance.job_stage import JobStage
from umbel.testing.conformance.stage import QUEUE, body, ids


class DoomingConformance(JobStage):
    """Doom, from when it is given until the job has ended. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    async def doomed(self) -> tuple[str, Delivery]:
        """A session that runs a job which was revoked meanwhile."""
        session, delivery = await self.started()
        await self.revoke("job")
        return session, delivery

    async def back(self) -> Delivery:
        """The job as its next receiver is given it."""
        return await self.take_one(await self.open(), "job")

    async def test_a_job_that_nobody_doomed_has_no_doom(self) -> None:
        await self.send("job")
        assert await self.standing() == ("ready", "")
        assert (await self.back()).counts == Counts()

    # --- what its holder says

    async def test_a_doomed_job_that_is_retried_is_ready_at_once(self) -> None:
        session, delivery = await self.doomed()
        retry = Settlement(delivery, "retry", delay=3600.0, counts=Counts(retries=1), envelope=b"new")
        assert await self.settle(session, retry) == [True]
        assert await self.standing() == ("ready", "revoked")
        back = await self.back()
        assert (back.counts, back.envelope) == (Counts(retries=1, doom="revoked"), b"new")

    async def test_doom_outlives_every_retry(self) -> None:
        session, delivery = await self.doomed()
        for number in (1, 2):
            await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=number)))
            delivery = await self.take_one(session, "job")
        assert delivery.counts == Counts(retries=2, doom="revoked")
        await self.settle(session, Settlement(delivery, "retry"))
        assert (await self.back()).counts == Counts(retries=2, doom="revoked")

    async def test_a_doomed_job_that_is_released_is_ready_and_doomed(self) -> None:
        session, delivery = await self.doomed()
        await self.settle(session, Settlement(delivery, "release"))
        assert (await self.back()).counts == Counts(doom="revoked")

    async def test_a_doomed_job_is_not_parked_but_ready(self) -> None:
        session, delivery = await self.doomed()
        assert await self.settle(session, Settlement(delivery, "park", task="unknown")) == [True]
        assert await self.standing() == ("ready", "revoked")
        assert (await self.back()).counts == Counts(doom="revoked")

    async def test_a_job_that_was_given_back_before_it_was_revoked_waits_and_is_leased(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", delay=60.0, counts=Counts(retries=1)))
        (found,) = await self.revoke("job")
        assert found.place == "delayed"
        assert found.delivery is not None
        assert found.delivery.counts == Counts(retries=1, doom="revoked")

    async def test_its_neighbours_are_retried_as_ever(self) -> None:
        await self.send("job", "other")
        session = await self.open()
        deliveries = await self.take(session)
        await self.revoke("job")
        await self.settle(session, *(Settlement(each, "retry", delay=60.0) for each in deliveries))
        assert await self.standing("job") == ("ready", "revoked")
        assert await self.standing("other") == ("delayed", "")

    async def test_the_doom_of_a_job_is_gone_with_it(self) -> None:
        session, delivery = await self.doomed()
        await self.settle(session, Settlement(delivery, "end", record=b"record", ttl=0.25))

        async def forgotten() -> bool:
            await self.advance(0.25)
            return await self.record("job") is None

        await eventually(forgotten, 20.0)
        await self.send("job")
        assert (await self.back()).counts == Counts()

    # --- what happens to its holder

    async def test_doom_outlives_a_reconcile(self) -> None:
        session, _ = await self.doomed()
        assert await self.broker.reconcile(session, [QUEUE], []) == 1
        assert (await self.take_one(session, "job")).counts == Counts(doom="revoked")

    async def test_doom_outlives_a_crash(self) -> None:
        session, _ = await self.doomed()
        await self.reclaim(Ended(session, ("job",)))
        assert (await self.back()).counts == Counts(crashes=1, doom="revoked")

    async def test_doom_outlives_a_loss(self) -> None:
        await self.doomed()
        assert (await self.lapse()).returned == 1
        assert (await self.back()).counts == Counts(losses=1, doom="revoked")

    async def test_doom_outlives_a_mark(self) -> None:
        session, delivery = await self.doomed()
        assert await self.broker.mark(session, delivery)
        assert await self.standing() == ("running", "revoked")
        assert (await self.lapse()).returned == 1
        assert (await self.back()).counts == Counts(crashes=1, doom="revoked")

    async def test_a_mark_outlives_a_revoke(self) -> None:
        session, delivery = await self.started()
        assert await self.broker.mark(session, delivery)
        await self.revoke("job")
        assert (await self.lapse()).returned == 1
        assert (await self.back()).counts == Counts(crashes=1, doom="revoked")

    # --- a session that was ended for the sake of a job

    async def test_a_job_for_whose_sake_its_session_was_ended_is_doomed_and_not_charged(self) -> None:
        session, _ = await self.started()
        await self.reclaim(Ended(session, ("job",), (("job", "timeout"),)))
        assert await self.standing() == ("ready", "timeout")
        assert (await self.back()).counts == Counts(doom="timeout")

    async def test_the_neighbours_of_such_a_job_are_handed_back_unharmed(self) -> None:
        await self.send("guilty", "idle")
        session = await self.open()
        await self.take(session)
        await self.reclaim(Ended(session, (), (("guilty", "memory"),)))
        back = await self.take(await self.open())
        assert {each.id: each.counts for each in back} == {"guilty": Counts(doom="memory"), "idle": Counts()}

    async def test_a_job_that_the_ended_session_does_not_hold_is_not_doomed(self) -> None:
        await self.started("job")
        await self.send("waits")
        session = await self.open()
        await self.reclaim(Ended(session, (), (("job", "timeout"), ("waits", "timeout"), ("unknown", "memory"))))
        assert await self.standing("job") == ("running", "")
        assert await self.standing("waits") == ("ready", "")

    async def test_the_first_doom_of_a_job_stays(self) -> None:
        session, _ = await self.doomed()
        await self.reclaim(Ended(session, ("job",), (("job", "timeout"),)))
        (found,) = await self.revoke("job")
        assert found.delivery is not None
        assert found.delivery.counts == Counts(doom="revoked")

    async def test_a_doom_for_another_reason_is_kept_when_the_job_is_revoked(self) -> None:
        session, _ = await self.started()
        await self.reclaim(Ended(session, (), (("job", "timeout"),)))
        (found,) = await self.revoke("job")
        assert found.delivery is not None
        assert found.delivery.counts == Counts(doom="timeout")

    async def test_a_doomed_job_keeps_its_level_and_its_body(self) -> None:
        await self.send("job", priority=2)
        session = await self.open()
        await self.take_one(session, "job")
        await self.revoke("job")
        await self.reclaim(Ended(session))
        back = await self.back()
        assert (back.level, back.envelope, back.returned) == (7, body("job"), True)

    async def test_a_doomed_job_is_received_beside_others(self) -> None:
        await self.send("a", "b", "c")
        session = await self.open()
        held = await self.take(session, 2)
        await self.revoke("b")
        await self.settle(session, *(Settlement(each, "release") for each in held))
        found = await self.take(await self.open())
        assert ids(found) == ["a", "b", "c"]
        assert [each.counts.doom for each in found] == ["", "revoked", ""]
