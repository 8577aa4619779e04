"""What an engine guarantees that shows and stops single jobs: lists, dead letters, notes, and pauses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import pytest

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.jobs import Listed
from umbel.model.job import Counts, Delivery
from umbel.states import Place
from umbel.testing.conformance.amending import AmendingConformance
from umbel.testing.conformance.dooming import DoomingConformance
from umbel.testing.conformance.job_stage import TTL, JobStage, ends
from umbel.testing.conformance.noting import NoteConformance
from umbel.testing.conformance.pausing import RestingConformance
from umbel.testing.conformance.revoking import RevokingConformance
from umbel.testing.conformance.stage import OTHER, QUEUE, body, ids


class ListingConformance(JobStage):
    """`JobStore.jobs`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    async def test_ready_jobs_are_listed_about_in_the_order_they_leave(self) -> None:
        await self.send("c", "d", priority=4)
        await self.send("a", "b", priority=5)
        found = await self.listed("ready")
        assert [(each.id, each.level) for each in found] == [("a", 4), ("b", 4), ("c", 5), ("d", 5)]
        first = found[0]
        assert first == Listed("a", QUEUE, "ready", 4, body("a"), first.cursor)

    async def test_delayed_jobs_are_listed_with_when_they_are_due(self) -> None:
        await self.send("later", delay=60.0)
        await self.send("sooner", delay=30.0)
        found = await self.listed("delayed")
        assert ids(cast(Sequence[Delivery], found)) == ["sooner", "later"]
        assert [each.at for each in found] == pytest.approx([self.clock() + 30.0, self.clock() + 60.0], abs=1.0)

    async def test_running_jobs_are_listed_with_who_holds_them(self) -> None:
        one, _ = await self.started("a")
        two, _ = await self.started("b")
        assert {each.id: each.session for each in await self.listed("running")} == {"a": one, "b": two}

    async def test_parked_jobs_are_listed_with_what_they_wait_for(self) -> None:
        for task in ("one", "two"):
            await self.park(f"job of {task}", task)
        found = await self.listed("parked")
        assert {each.id: each.task for each in found} == {"job of one": "one", "job of two": "two"}

    async def test_dead_letters_are_listed_with_when_they_were_buried(self) -> None:
        await self.bury("first")
        await self.advance(10.0)
        await self.bury("second")
        found = await self.listed("dead")
        assert [each.id for each in found] == ["first", "second"]
        assert [each.at for each in found] == pytest.approx([self.clock() - 10.0, self.clock()], abs=1.0)
        assert found[0].envelope == body("first")

    async def test_what_happened_to_a_job_is_shown(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=2)))
        await self.take_one(session, "job")
        await self.revoke("job")
        (found,) = await self.listed("running")
        assert found.counts == Counts(retries=2, doom="revoked")

    async def test_lists_come_in_pages(self) -> None:
        names = [f"{number:02}" for number in range(7)]
        await self.send(*names[:3], priority=9)
        await self.send(*names[3:])
        await self.send(*(f"delayed {each}" for each in names), delay=60.0)
        for limit in (1, 2, 7, 100):
            assert [each.id for each in await self.listed("ready", limit)] == names
            assert sorted(each.id for each in await self.listed("delayed", limit)) == [f"delayed {n}" for n in names]
        page = self.jobs.jobs(QUEUE, "ready", "", 3)
        assert [each.id for each in page] == names[:3]
        assert [each.id for each in self.jobs.jobs(QUEUE, "ready", page[1].cursor, 2)] == names[2:4]

    async def test_pages_of_jobs_that_run_are_parked_or_are_dead(self) -> None:
        names = [f"{number}" for number in range(5)]
        await self.bury(*(f"dead {each}" for each in names))
        for each in names:
            await self.park(f"parked {each}", "one" if each < "3" else "two")
            await self.started(f"running {each}")
        places: tuple[Place, ...] = ("dead", "parked", "running")
        for place in places:
            for limit in (1, 2, 5):
                found = await self.listed(place, limit)
                assert sorted(each.id for each in found) == [f"{place} {each}" for each in names]

    async def test_a_job_is_listed_in_one_place_only(self) -> None:
        await self.send("job")
        places: tuple[Place, ...] = ("ready", "delayed", "running", "parked", "dead")
        assert [len(await self.listed(place)) for place in places] == [1, 0, 0, 0, 0]
        assert await self.listed("ready", queue=OTHER) == []
        assert await self.listed("ready", queue="nowhere") == []

    async def test_there_is_no_list_of_what_has_ended(self) -> None:
        places: tuple[Place, ...] = ("ended", "unknown")
        for place in places:
            with pytest.raises(ValueError, match=place):
                self.jobs.jobs(QUEUE, place, "", 10)
            with pytest.raises(ValueError, match=place):
                await self.jobs.ajobs(QUEUE, place, "", 10)

    async def test_a_list_that_changes_meanwhile_ends_all_the_same(self) -> None:
        await self.send(*(str(number) for number in range(10)))
        session = await self.open()
        after, seen = "", 0
        while page := await self.jobs.ajobs(QUEUE, "ready", after, 2):
            after, seen = page[-1].cursor, seen + len(page)
            await self.take(session, 1)
            await self.send(f"new {seen}", priority=9)
            assert seen <= 30


class DeadLetterConformance(JobStage):
    """`JobStore.revive` and `discard`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    async def test_a_dead_letter_that_is_revived_is_ready_at_the_end_of_its_level(self) -> None:
        await self.bury("job")
        await self.send("waits")
        assert await self.jobs.arevive(QUEUE, ["job"]) == [True]
        assert await self.standing() == ("ready", "")
        assert await self.listed("dead") == []
        found = await self.take(await self.open())
        assert ids(found) == ["waits", "job"]
        assert found[1].envelope == body("job")

    async def test_the_counts_of_a_revived_job_begin_anew(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(3, 2, 1)))
        delivery = await self.take_one(session, "job")
        await self.revoke("job")
        await self.settle(session, Settlement(delivery, "dead", record=b"record", ttl=TTL))
        await self.jobs.arevive(QUEUE, ["job"])
        assert (await self.take_one(session, "job")).counts == Counts()

    async def test_a_revived_job_ends_with_a_new_record(self) -> None:
        await self.bury("job", record=b"failed")
        await self.jobs.arevive(QUEUE, ["job"])
        assert await self.record("job") is None
        session = await self.open()
        assert await self.settle(session, *ends([await self.take_one(session, "job")], b"done")) == [True]
        assert await self.record("job") == b"done"
        await self.send("job")
        assert await self.take(session) == []

    async def test_a_revived_job_is_kept_once_when_it_is_sent_again(self) -> None:
        await self.bury("job")
        await self.jobs.arevive(QUEUE, ["job"])
        await self.send("job")
        session = await self.open()
        assert ids(await self.take(session)) == ["job"]

    async def test_a_revived_job_may_die_again(self) -> None:
        await self.bury("job")
        for _ in range(2):
            await self.jobs.arevive(QUEUE, ["job"])
            session = await self.open()
            delivery = await self.take_one(session, "job")
            await self.settle(session, Settlement(delivery, "dead", record=b"again", ttl=TTL))
            assert (await self.located()).place == "dead"

    async def test_only_dead_letters_of_the_queue_are_revived_or_discarded(self) -> None:
        await self.bury("dead")
        await self.started("running")
        ended, delivery = await self.started("ended")
        await self.end(ended, delivery, record=b"done")
        await self.send("ready")
        await self.send("delayed", delay=60.0)
        others = ["ready", "delayed", "running", "ended", "unknown"]
        before = [await self.located(each) for each in others]
        assert await self.jobs.arevive(OTHER, ["dead"]) == [False]
        assert await self.jobs.adiscard(OTHER, ["dead"]) == [False]
        assert await self.jobs.arevive(QUEUE, others) == [False] * 5
        assert await self.jobs.adiscard(QUEUE, others) == [False] * 5
        assert [await self.located(each) for each in others] == before
        assert (await self.located("dead")).place == "dead"

    async def test_a_dead_letter_that_is_discarded_is_gone_but_its_record_stays(self) -> None:
        await self.bury("a", "b")
        assert await self.jobs.adiscard(QUEUE, ["a", "unknown", "a"]) == [True, False, False]
        assert [each.id for each in await self.listed("dead")] == ["b"]
        assert (await self.located("a")).place == "ended"
        assert await self.record("a") == b"record"
        assert await self.jobs.arevive(QUEUE, ["a"]) == [False]

    async def test_a_receiver_that_is_late_gets_a_revived_job(self) -> None:
        await self.bury("a", "b")
        assert self.jobs.revive(QUEUE, ["b", "a"]) == [True, True]
        assert ids(await self.take(await self.open())) == ["b", "a"]

    async def test_the_sync_discard_is_the_same(self) -> None:
        await self.bury("a")
        assert self.jobs.discard(QUEUE, ["a", "b"]) == [True, False]
        assert await self.listed("dead") == []


class PausingConformance(JobStage):
    """What goes on while a queue is paused. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    async def test_jobs_of_a_paused_queue_are_settled_and_given_back_as_ever(self) -> None:
        await self.send("ends", "retries", "lost")
        session, other = await self.open(), await self.open()
        ends, retries = await self.take(session, 2)
        await self.take_one(other, "lost")
        await self.jobs.apause(QUEUE, paused=True)
        assert await self.end(session, ends, record=b"done") == [True]
        assert await self.settle(session, Settlement(retries, "retry", delay=5.0)) == [True]
        assert (await self.reclaim(Ended(other))).returned == 1
        await self.advance(5.0)
        await self.reclaim()
        assert [(await self.located(each)).place for each in ("ends", "retries", "lost")] == ["ended", "ready", "ready"]
        assert await self.take(session) == []

    async def test_jobs_of_a_paused_queue_are_revoked(self) -> None:
        await self.send("job")
        await self.jobs.apause(QUEUE, paused=True)
        await self.revoked("job")


class ListedNoteConformance(JobStage):
    """Notes in lists of jobs. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    async def test_lists_show_what_jobs_have_noted(self) -> None:
        session, delivery = await self.started()
        await self.jobs.note(session, [(delivery, b"half")])
        assert [each.note for each in await self.listed("running")] == [b"half"]
        await self.settle(session, Settlement(delivery, "retry", delay=60.0))
        assert [each.note for each in await self.listed("delayed")] == [b"half"]


class ListedAmendmentConformance(JobStage):
    """Amended jobs in lists of jobs. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.JOBS

    async def test_lists_show_jobs_as_they_were_amended_also_when_they_are_dead(self) -> None:
        session, delivery = await self.started()
        await self.jobs.amend(session, [(delivery, b"amended")])
        assert [each.envelope for each in await self.listed("running")] == [b"amended"]
        await self.settle(session, Settlement(delivery, "dead", record=b"record", ttl=TTL))
        assert [each.envelope for each in await self.listed("dead")] == [b"amended"]


class JobConformance(
    RevokingConformance,
    DoomingConformance,
    ListingConformance,
    DeadLetterConformance,
    RestingConformance,
    PausingConformance,
    NoteConformance,
    ListedNoteConformance,
    AmendingConformance,
    ListedAmendmentConformance,
):
    """All that an engine guarantees that shows and stops single jobs."""
