"""What an engine guarantees when jobs are revoked or purged: each is given to one alone, and ended with its record."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

from umbel.contracts.broker import Beat, Ended, SessionDead, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.jobs import JobHolder, Revoked
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.testing.conformance.job_stage import JobStage, ends
from umbel.testing.conformance.stage import LEASE, OTHER, QUEUE, body, ids


class RevokingConformance(JobStage):
    """`JobStore.revoke`, `purge` and `end`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    # --- revoke

    async def test_it_is_found_by_isinstance(self) -> None:
        assert isinstance(self.broker, JobHolder)

    async def test_a_ready_job_that_is_revoked_is_leased_to_whoever_revokes_it(self) -> None:
        await self.send("job", priority=3)
        session = new_session()
        (found,) = await self.revoke("job", session=session)
        delivery = Delivery("job", QUEUE, 6, 1, body("job"), Counts(doom="revoked"))
        assert found == Revoked("job", "ready", QUEUE, delivery)
        assert await self.standing() == ("running", "revoked")
        assert await self.take(await self.open()) == []

    async def test_a_delayed_job_is_revoked(self) -> None:
        await self.send("job", delay=60.0)
        (found,) = await self.revoke("job")
        assert found.place == "delayed"
        assert found.delivery is not None
        assert found.delivery.number == 1
        assert await self.standing() == ("running", "revoked")
        await self.advance(61.0)
        assert (await self.broker.reclaim([QUEUE], 1000.0)).promoted == 0

    async def test_a_parked_job_is_revoked(self) -> None:
        await self.park("job")
        (found,) = await self.revoke("job")
        assert found.place == "parked"
        assert found.delivery is not None
        assert found.delivery.returned
        assert await self.broker.unpark([QUEUE], ["task"]) == 0
        assert await self.standing() == ("running", "revoked")

    async def test_a_running_job_keeps_its_holder_when_it_is_revoked(self) -> None:
        session, delivery = await self.started()
        assert await self.revoke("job") == [Revoked("job", "running", QUEUE)]
        assert await self.standing() == ("running", "revoked")
        assert await self.settle(session, *ends([delivery], b"done")) == [True]
        assert (await self.located()).place == "ended"
        assert await self.record("job") == b"done"

    async def test_of_a_dead_letter_and_of_a_job_that_has_ended_it_is_only_told(self) -> None:
        await self.bury("dead")
        session, delivery = await self.started("ended")
        await self.end(session, delivery, record=b"done")
        assert await self.revoke("dead", "ended") == [Revoked("dead", "dead", QUEUE), Revoked("ended", "ended", QUEUE)]
        assert await self.standing("dead") == ("dead", "")

    async def test_an_unknown_job_is_told_as_unknown_and_may_be_sent_later(self) -> None:
        assert await self.revoke("job") == [Revoked("job", "unknown")]
        await self.send("job")
        assert (await self.take_one(await self.open(), "job")).counts == Counts()

    async def test_many_jobs_are_revoked_at_once_and_told_of_in_order(self) -> None:
        await self.send("held")
        holder = await self.open()
        await self.take_one(holder, "held")
        await self.send("ready")
        await self.send("other", queue=OTHER)
        session = new_session()
        keys = [("other", OTHER), ("no", QUEUE), ("held", QUEUE), ("ready", QUEUE)]
        found = await self.jobs.arevoke(session, keys, LEASE)
        assert [(each.id, each.place, each.delivery is not None) for each in found] == [
            ("other", "ready", True),
            ("no", "unknown", False),
            ("held", "running", False),
            ("ready", "ready", True),
        ]

    async def test_without_a_queue_a_job_is_looked_for_everywhere(self) -> None:
        await self.send("here")
        await self.send("there", queue=OTHER, delay=60.0)
        found = await self.revoke("there", "nowhere", "here", queue=None)
        assert [(each.place, each.queue) for each in found] == [("delayed", OTHER), ("unknown", ""), ("ready", QUEUE)]

    async def test_a_job_of_another_queue_is_not_revoked(self) -> None:
        await self.send("job", queue=OTHER)
        assert await self.revoke("job") == [Revoked("job", "unknown")]
        assert (await self.located("job", OTHER)).doom == ""

    async def test_a_revoke_that_is_repeated_answers_what_the_first_one_took(self) -> None:
        await self.send("a", "b")
        session, (first,) = await self.revoked("a")
        again, new = await self.revoke("a", "b", session=session)
        assert (again.place, new.place) == ("running", "ready")
        assert again.delivery is not None
        assert new.delivery is not None
        assert given(again.delivery) == given(first)
        assert await self.jobs.aend(session, ends([first, new.delivery])) == [True, True]

    async def test_a_session_that_is_over_revokes_nothing(self) -> None:
        await self.send("job", "later")
        session, _ = await self.revoked("job")
        await self.jobs.aend(session, [])
        with pytest.raises(SessionDead):
            await self.revoke("later", session=session)
        assert await self.standing("later") == ("ready", "")

    async def test_a_job_is_given_to_one_alone_of_whoever_revokes_and_receives_at_once(self) -> None:
        names = [str(number) for number in range(40)]
        await self.send(*names)
        worker = await self.open()
        revokers = [new_session() for _ in range(3)]
        brokers = [self.client() for _ in revokers]

        async def take() -> list[str]:
            return [each for _ in range(8) for each in ids(await self.take(worker, 5))]

        async def revoke(number: int) -> list[str]:
            broker = brokers[number]
            assert isinstance(broker, JobHolder)
            part = [(each, QUEUE) for each in reversed(names)]
            found = await broker.job_store.arevoke(revokers[number], part, LEASE)
            return [each.id for each in found if each.delivery is not None]

        given = await asyncio.gather(take(), revoke(0), take(), revoke(1), take(), revoke(2))
        assert sorted(each for part in given for each in part) == sorted(names)

    # --- purge

    async def test_a_purge_takes_from_every_place_where_jobs_wait_in_portions(self) -> None:
        await self.park("parked")
        await self.bury("dead")
        holder, _ = await self.started("running")
        await self.send("ready", "urgent", priority=1)
        await self.send("delayed", delay=60.0)
        await self.send("other", queue=OTHER)
        taken: list[str] = []
        while True:
            session = new_session()
            found = await self.jobs.apurge(session, QUEUE, 3, LEASE)
            assert {(each.number, each.counts.doom, each.queue) for each in found} <= {(1, "revoked", QUEUE)}
            assert len(found) <= 3
            taken += ids(found)
            assert await self.jobs.aend(session, ends(found)) == [True] * len(found)
            if not found:
                break
        assert sorted(taken) == ["delayed", "parked", "ready", "urgent"]
        assert [await self.record(each) for each in taken] == [b"revoked"] * 4
        assert (await self.located("running")).place == "running"
        assert (await self.located("other", OTHER)).place == "ready"
        assert await self.broker.heartbeat([Beat(holder)], [QUEUE], LEASE) == [True]

    async def test_a_queue_that_nobody_sent_to_is_purged_of_nothing(self) -> None:
        assert self.jobs.purge(new_session(), "nowhere", 10, LEASE) == []

    async def test_a_purge_that_is_repeated_answers_what_the_first_one_took(self) -> None:
        await self.send("a", "b", "c")
        session = new_session()
        first = await self.jobs.apurge(session, QUEUE, 2, LEASE)
        again = await self.jobs.apurge(session, QUEUE, 2, LEASE)
        assert sorted(map(given, again)) == sorted(map(given, first))

    # --- end

    async def test_whoever_revoked_jobs_ends_them_with_records_and_follow_ups(self) -> None:
        await self.send("a", "b")
        session, (first, second) = await self.revoked("a", "b")
        after = Job("next", QUEUE, body("next"))
        settlements = [
            Settlement(first, "end", record=b"one", ttl=60.0, follow_ups=(after,)),
            Settlement(second, "dead", record=b"two", ttl=60.0),
        ]
        assert await self.jobs.aend(session, settlements) == [True, True]
        assert [(await self.located(each)).place for each in ("a", "b")] == ["ended", "dead"]
        assert [await self.record(each) for each in ("a", "b")] == [b"one", b"two"]
        assert ids(await self.take(await self.open())) == ["next"]

    async def test_after_the_end_the_session_is_closed_and_a_repeat_changes_nothing(self) -> None:
        await self.send("a", "b")
        session, (first, second) = await self.revoked("a", "b")
        assert await self.jobs.aend(session, ends([first])) == [True]
        assert await self.jobs.aend(session, ends([first, second])) == [False, False]
        assert await self.broker.heartbeat([Beat(session)], [QUEUE], LEASE) == [False]
        assert await self.standing("b") == ("ready", "revoked")

    async def test_what_is_not_ended_goes_back_to_ready_in_every_queue(self) -> None:
        await self.send("a", "b")
        await self.send("c", queue=OTHER)
        session, (first, *_) = await self.revoked("a", "b")
        (there,) = await self.revoke("c", session=session, queue=OTHER)
        assert there.delivery is not None
        assert await self.jobs.aend(session, ends([first])) == [True]
        worker = await self.open(QUEUE, OTHER)
        back = [*await self.take(worker), *await self.take(worker, queues=[OTHER])]
        assert [(each.id, each.counts) for each in back] == [(name, Counts(doom="revoked")) for name in ("b", "c")]

    async def test_a_job_that_somebody_else_holds_is_not_ended(self) -> None:
        holder, delivery = await self.started("held")
        await self.send("job")
        session, _ = await self.revoked("job")
        assert await self.jobs.aend(session, ends([delivery])) == [False]
        assert await self.end(holder, delivery) == [True]

    async def test_the_sync_verbs_are_the_same(self) -> None:
        await self.send("a", "b")
        one, two = new_session(), new_session()
        (found,) = self.jobs.revoke(one, [("a", None)], LEASE)
        assert found.delivery is not None
        assert self.jobs.end(one, ends([found.delivery])) == [True]
        (delivery,) = self.jobs.purge(two, QUEUE, 10, LEASE)
        assert delivery.id == "b"
        assert self.jobs.end(two, []) == []
        assert await self.standing("b") == ("ready", "revoked")

    async def test_jobs_of_a_session_that_lapses_come_back_doomed(self) -> None:
        await self.send("job")
        await self.revoked("job")
        assert (await self.lapse()).returned == 1
        back = await self.take_one(await self.open(), "job")
        assert back.counts.doom == "revoked"

    async def test_a_session_that_revoked_may_be_ended_like_any_other(self) -> None:
        await self.send("job")
        session, (delivery,) = await self.revoked("job")
        await self.reclaim(Ended(session))
        assert await self.jobs.aend(session, ends([delivery])) == [False]
        assert await self.standing() == ("ready", "revoked")

    async def test_hostile_ids_are_only_ids(self) -> None:
        names = ["'; drop table job; --", "{x}:jobs *", "täsk ☃", "x" * 255, "\\"]
        await self.send(*names)
        session, deliveries = await self.revoked(*names)
        assert ids(deliveries) == names
        assert await self.jobs.aend(session, ends(deliveries)) == [True] * len(names)


def given(delivery: Delivery) -> tuple[str, str, int, bytes, str]:
    """What whoever revokes ends a job by."""
    return delivery.id, delivery.queue, delivery.number, delivery.envelope, delivery.counts.doom
