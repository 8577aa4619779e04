"""What an engine guarantees of jobs that are sent under limits: as any send, and never more than a queue may hold."""

from __future__ import annotations

from typing import ClassVar

import pytest

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.limits import Admission
from umbel.exceptions import QueueFull
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.model.limit import Unique
from umbel.testing.conformance.job_stage import ends
from umbel.testing.conformance.limit_stage import TASK, LimitStage, at_once, names
from umbel.testing.conformance.sending import HOSTILE_IDS
from umbel.testing.conformance.stage import OTHER, QUEUE, body


class AdmittingConformance(LimitStage):
    """`LimitStore.admit` as a send."""

    power: ClassVar = Power.LIMITS

    async def test_jobs_under_nothing_are_sent_as_ever(self) -> None:
        jobs = [
            Job("c", QUEUE, b"c", 3),
            Job("a", QUEUE, b"a", 9),
            Job("later", QUEUE, b"x", delay=5),
            Job("there", OTHER, b"y"),
        ]
        assert self.limiter.admit([Admission(each) for each in jobs]) == ["c", "a", "later", "there"]
        session = await self.open(QUEUE, OTHER)
        found = await self.take(session) + await self.take(session, queues=[OTHER])
        assert [(each.id, each.envelope, each.level) for each in found] == [
            ("a", b"a", 0),
            ("c", b"c", 6),
            ("there", b"y", 9),
        ]
        await self.advance(6)
        await self.take_one(session, "later")

    async def test_an_id_sent_twice_is_kept_once(self) -> None:
        for _ in range(2):
            assert await self.admit("a", "b", "a", limit=at_once(1)) == ["a", "b", "a"]
        assert await self.is_ready("a")
        assert await self.held("b")

    async def test_an_id_that_is_known_changes_nothing(self) -> None:
        await self.send("job", delay=5)
        await self.admit("job", limit=at_once(1))
        assert (await self.located()).place == "delayed"

    async def test_an_id_that_has_ended_lately_is_not_accepted_again(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery, record=b"record")
        assert await self.admit("job", limit=at_once(1), max_length=1) == ["job"]
        assert await self.numbers() == (0, 0, 0)

    async def test_hostile_ids_and_keys_pass_through_limits(self) -> None:
        limits = [at_once(1, key, turn=key) for key in HOSTILE_IDS]
        for job_id, limit in zip(HOSTILE_IDS, limits, strict=True):
            assert await self.admit(job_id, f"{job_id}+", limit=limit) == [job_id, f"{job_id}+"]
        assert await self.is_ready(*HOSTILE_IDS)
        assert sorted(each.limit.key for each in await self.standings(limit=3)) == sorted(HOSTILE_IDS)
        by_id = dict(zip(HOSTILE_IDS, limits, strict=True))
        by_id |= {f"{job_id}+": limit for job_id, limit in by_id.items()}
        assert sorted(await self.run_in_turn(limits=by_id)) == sorted(by_id)

    async def test_what_was_held_comes_out_as_it_was_sent(self) -> None:
        envelope = bytes(range(256)) * 40
        jobs = [Job("a", QUEUE, b""), Job("b", QUEUE, envelope, 4)]
        for job in jobs:
            await self.limiter.aadmit([Admission(job, at_once(1))])
        session, delivery = await self.entered("a", at_once(1))
        await self.finish(session, delivery, at_once(1))
        again = await self.take_one(session, "b")
        assert (again.envelope, again.level, again.returned) == (envelope, 5, False)

    async def test_a_receiver_that_sleeps_is_woken_by_what_is_released_at_once(self) -> None:
        self.real_time()
        assert (await self.woken_by(lambda: self.admit("job", limit=at_once(1)))).id == "job"


class LengthConformance(LimitStage):
    """`Admission.max_length`."""

    power: ClassVar = Power.LIMITS

    async def refused(self, *job_ids: str, max_length: int, queue: str = QUEUE) -> bool:
        """Whether `QueueFull` is raised, and none of the jobs accepted."""
        try:
            await self.admit(*job_ids, max_length=max_length, queue=queue)
        except QueueFull as error:
            assert queue in str(error)  # noqa: PT017 - what was refused is looked at, too
        else:
            return False
        assert [(await self.located(each)).place for each in job_ids] == ["unknown"] * len(job_ids)
        return True

    async def test_a_queue_takes_as_many_as_it_may_hold_and_no_more(self) -> None:
        assert await self.refused("a", "b", "c", max_length=2)
        assert not await self.refused("a", "b", max_length=2)
        assert await self.refused("c", max_length=2)
        session = await self.open()
        await self.end(session, *await self.take(session))
        assert not await self.refused("c", max_length=2)

    async def test_jobs_count_wherever_they_wait_or_run(self) -> None:
        await self.send("delayed", delay=60)
        await self.park("parked")
        await self.started("running")
        await self.admit("out", "held", limit=at_once(1))
        assert await self.refused("new", max_length=5)
        assert not await self.refused("new", max_length=6)

    async def test_dead_letters_do_not_count(self) -> None:
        await self.bury("a", "b")
        assert not await self.refused("new", max_length=1)

    async def test_an_id_that_is_known_takes_no_room(self) -> None:
        await self.send("a")
        assert await self.admit("a", max_length=1) == ["a"]

    async def test_a_job_whose_key_is_taken_takes_no_room(self) -> None:
        await self.admit("a", unique=Unique("key"))
        assert await self.admit("b", unique=Unique("key"), max_length=1) == ["a"]

    async def test_other_queues_and_jobs_without_a_length_are_not_asked(self) -> None:
        await self.send("a")
        assert not await self.refused("b", max_length=1, queue=OTHER)
        assert await self.admit("c") == ["c"]
        await self.send("d")
        assert await self.refused("e", max_length=3)

    async def test_the_smallest_length_of_those_sent_in_one_call_counts(self) -> None:
        lengths = {"a": 0, "b": 3, "c": 2}
        admissions = [Admission(Job(job_id, QUEUE, b""), max_length=length) for job_id, length in lengths.items()]
        with pytest.raises(QueueFull):
            await self.limiter.aadmit(admissions)
        assert await self.is_ready()
        assert await self.limiter.aadmit(admissions[1:]) == ["b", "c"]

    async def test_a_full_queue_is_refused_in_both_ways(self) -> None:
        await self.send("a")
        with pytest.raises(QueueFull):
            self.limiter.admit([Admission(Job("b", QUEUE, b""), max_length=1)])
        assert await self.is_ready("a")


class HeldConformance(LimitStage):
    """Held jobs are jobs that wait: found, listed, counted, revoked and purged."""

    power: ClassVar = Power.LIMITS

    async def test_a_held_job_is_found_and_listed(self) -> None:
        await self.admit("a", "b", "c", limit=at_once(1), priority=2)
        assert (await self.located("b")).place == "held"
        found = await self.listed("held", limit=1)
        assert [(each.id, each.level, each.envelope, each.place) for each in found] == [
            ("b", 7, body("b"), "held"),
            ("c", 7, body("c"), "held"),
        ]

    async def test_many_held_jobs_are_listed_in_pages(self) -> None:
        await self.admit(*names("a", 40), limit=at_once(1, "x"))
        await self.admit(*names("b", 40), limit=at_once(1, "y", turn="t"))
        found = [each.id for each in await self.listed("held", limit=7)]
        assert sorted(found) == sorted(set(names("a", 40) + names("b", 40)) - {"a0", "b0"})

    async def test_a_held_job_is_revoked_like_any_that_waits(self) -> None:
        await self.admit("a", "b", "c", limit=at_once(1))
        (told,) = await self.revoke("b", queue=None)
        assert (told.place, told.queue) == ("held", QUEUE)
        assert told.delivery is not None
        assert told.delivery.counts.doom == "revoked"
        assert await self.held("c")

    async def test_a_revoked_job_is_never_released(self) -> None:
        await self.admit("a", "b", "c", limit=at_once(1))
        session, deliveries = await self.revoked("b")
        assert await self.jobs.aend(session, ends(deliveries)) == [True]
        assert await self.run_in_turn(at_once(1)) == ["a", "c"]
        assert await self.standings() == []

    async def test_a_job_that_whoever_revokes_left_behind_is_ready_and_doomed(self) -> None:
        await self.admit("a", "b", limit=at_once(1))
        session, _ = await self.revoked("b")
        assert await self.jobs.aend(session, []) == []
        assert await self.is_ready("a", "b")
        assert (await self.located("b")).doom == "revoked"
        assert await self.numbers() == (0, 1, 0)

    async def test_a_purge_takes_held_jobs_too(self) -> None:
        await self.admit(*names("a", 5), limit=at_once(1))
        await self.revoked("a3")
        session = new_session()
        taken = await self.jobs.apurge(session, QUEUE, 100, 10.0)
        assert sorted(each.id for each in taken) == ["a0", "a1", "a2", "a4"]
        assert await self.jobs.aend(session, ends(taken)) == [True] * 4
        await self.forget()
        assert await self.numbers() == (0, 0, 0)

    async def test_a_paused_queue_releases_as_ever_and_hands_out_nothing(self) -> None:
        await self.admit("a", "b", limit=at_once(1))
        session, delivery = await self.entered("a", at_once(1))
        await self.jobs.apause(QUEUE, paused=True)
        await self.finish(session, delivery, at_once(1))
        assert await self.is_ready("b")
        assert await self.take(session) == []

    async def test_dead_letters_that_are_revived_ask_anew(self) -> None:
        await self.admit("a", "b", limit=at_once(1))
        session, delivery = await self.entered("a", at_once(1))
        await self.finish(session, delivery, at_once(1), "dead")
        await self.entered("b", at_once(1))
        assert await self.jobs.arevive(QUEUE, ["a"]) == [True]
        again = await self.take_one(session, "a")
        assert await self.enter(session, again, limit=at_once(1)) == ["held"]

    async def test_parked_jobs_ask_when_they_come_back(self) -> None:
        await self.admit("a", "b", limit=at_once(1))
        session, delivery = await self.entered("a", at_once(1))
        assert await self.settle(session, Settlement(delivery, "park", task=TASK)) == [True]
        await self.forget()
        await self.entered("b", at_once(1))
        assert await self.broker.unpark([QUEUE], [TASK]) == 1
        again = await self.take_one(session, "a")
        assert await self.enter(session, again, limit=at_once(1)) == ["held"]
