"""What an engine guarantees that can only doom jobs: the next receiver of such a job is told, whatever lies between."""

from __future__ import annotations

from typing import ClassVar

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.jobs import JobRevoker, Revoked
from umbel.contracts.powers import Inspector
from umbel.model.job import Counts, Delivery
from umbel.testing.conformance.eventually import eventually
from umbel.testing.conformance.stage import LEASE, OTHER, QUEUE, BrokerStage, ids


class MarkingConformance(BrokerStage):
    """`JobRevoker.doom`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.DOOM

    async def doom(self, *job_ids: str, queue: str | None = QUEUE) -> list[Revoked]:
        """Doom jobs in one call."""
        assert isinstance(self.broker, JobRevoker)
        return await self.broker.adoom([(each, queue) for each in job_ids])

    async def back(self, session: str = "") -> Delivery:
        """The job as its next receiver is given it."""
        found: list[Delivery] = []

        async def received() -> bool:
            nonlocal session
            session = session or await self.open()
            found.extend(await self.take(session))
            return bool(found)

        await eventually(received)
        assert ids(found) == ["job"]
        return found[0]

    async def test_it_is_found_by_isinstance(self) -> None:
        assert isinstance(self.broker, JobRevoker)

    async def test_a_job_that_waits_is_given_out_doomed(self) -> None:
        await self.send("job")
        assert await self.doom("job") == [Revoked("job", "unknown")]
        assert isinstance(self.broker, Inspector)
        assert (await self.broker.alocate("job", QUEUE)).doom == "revoked"
        await self.open()
        assert self.broker.locate("job", None).doom == "revoked"
        delivery = await self.back()
        assert (delivery.counts, delivery.returned) == (Counts(doom="revoked"), False)

    async def test_a_job_that_is_doomed_before_it_is_sent_is_given_out_doomed(self) -> None:
        await self.doom("job")
        await self.send("job", "other")
        session = await self.open()
        found: list[Delivery] = []

        async def received() -> bool:
            found.extend(await self.take(session))
            return len(found) == 2

        await eventually(received)
        assert {each.id: each.counts for each in found} == {"job": Counts(doom="revoked"), "other": Counts()}

    async def test_a_job_is_doomed_in_its_queue_and_without_one_wherever_it_is(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.send("job", queue=OTHER)
        await self.doom("job", queue=QUEUE)
        await self.send("far", queue=OTHER)
        assert [each.place for each in await self.doom("far", "nowhere", queue=None)] == ["unknown", "unknown"]
        found: list[Delivery] = []

        async def received() -> bool:
            found.extend(await self.take(session, queues=[OTHER]))
            return len(found) == 2

        await eventually(received)
        assert {each.id: each.counts.doom for each in found} == {"job": "", "far": "revoked"}
        (told,) = await self.doom("job", queue=None)
        assert (told.place, told.queue) == ("running", OTHER)

    async def test_a_running_job_keeps_its_holder_and_its_doom_outlives_every_retry(self) -> None:
        session, delivery = await self.started()
        for number in (1, 2):
            (told,) = await self.doom("job")
            assert (told.place, told.queue) == ("running", QUEUE)
            assert await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=number))) == [True]
            delivery = await self.back(session)
            assert delivery.counts == Counts(retries=number, doom="revoked")
        assert await self.settle(session, Settlement(delivery, "end", record=b"record", ttl=60.0)) == [True]
        assert [each.place for each in await self.doom("job")] == ["ended"]

    async def test_doom_outlives_a_release_and_a_crash(self) -> None:
        session, delivery = await self.started()
        await self.doom("job")
        await self.settle(session, Settlement(delivery, "release"))
        await self.back(session)
        await self.broker.reclaim([QUEUE], LEASE, [Ended(session, ("job",))])
        assert (await self.lent()).counts == Counts(crashes=1, doom="revoked")

    async def test_a_job_for_whose_sake_its_session_was_ended_is_doomed_and_not_charged(self) -> None:
        session, _ = await self.started()
        await self.broker.reclaim([QUEUE], LEASE, [Ended(session, ("job",), (("job", "timeout"),))])
        await self.doom("job")
        assert (await self.lent()).counts == Counts(doom="timeout")

    async def lent(self) -> Delivery:
        """The job as another process is given it, when its message came back."""
        broker = self.client()
        session = await self.open(broker=broker)
        await self.broker.aclose()
        found: list[Delivery] = []

        async def received() -> bool:
            found.extend(await broker.receive(session, [QUEUE], 1, wait=0))
            return bool(found)

        await eventually(received)
        return found[0]

    async def test_a_dead_letter_and_a_job_that_has_ended_are_only_told_of(self) -> None:
        for name, kind in (("dead", "dead"), ("ended", "end")):
            session, delivery = await self.started(name)
            settlement = Settlement(delivery, kind, record=b"record", ttl=60.0)  # type: ignore[arg-type]
            assert await self.settle(session, settlement) == [True]
        assert [each.place for each in await self.doom("dead", "ended")] == ["dead", "ended"]
        assert isinstance(self.broker, Inspector)
        assert [(await self.broker.alocate(each, QUEUE)).doom for each in ("dead", "ended")] == ["", ""]

    async def test_the_sync_doom_is_the_same_and_a_repeat_changes_nothing(self) -> None:
        await self.send("job")
        assert isinstance(self.broker, JobRevoker)
        for _ in range(2):
            assert self.broker.doom([("job", QUEUE)]) == [Revoked("job", "unknown")]
        assert (await self.back()).counts == Counts(doom="revoked")
