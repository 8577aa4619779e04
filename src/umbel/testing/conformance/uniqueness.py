"""What an engine guarantees of unique keys: one job at a time has one, and it is free when that job is over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.contracts.limits import Admission, Entry, LimitHolder
from umbel.model.job import Counts, Job
from umbel.model.limit import Unique
from umbel.testing.conformance.job_stage import ends
from umbel.testing.conformance.limit_stage import TASK, LimitStage, at_once, one_every
from umbel.testing.conformance.stage import OTHER, QUEUE

DONE = Unique("key")
QUEUED = Unique("key", "queued")
MINUTE = Unique("key", seconds=60.0)
PRODUCERS = 64
CLIENTS = 4


class UniqueConformance(LimitStage):
    """`Unique` without seconds."""

    power: ClassVar = Power.LIMITS

    async def taken(self, unique: Unique = DONE) -> bool:
        """Whether a new job is refused for the sake of the job ``job``."""
        (standing,) = await self.admit("other", unique=unique)
        assert standing in ("job", "other")
        assert ((await self.located("other")).place == "unknown") == (standing == "job")
        return standing == "job"

    @pytest.mark.parametrize("unique", [DONE, QUEUED, MINUTE])
    async def test_a_job_whose_key_another_one_has_is_not_accepted(self, unique: Unique) -> None:
        assert await self.admit("job", unique=unique) == ["job"]
        assert await self.taken(unique)
        assert await self.is_ready("job")

    @pytest.mark.parametrize("unique", [DONE, QUEUED, MINUTE])
    async def test_one_of_those_sent_in_one_call_is_accepted(self, unique: Unique) -> None:
        assert await self.admit("a", "b", "c", unique=unique) == ["a", "a", "a"]
        assert await self.is_ready("a")

    @pytest.mark.parametrize("unique", [DONE, QUEUED, MINUTE])
    async def test_a_send_that_is_repeated_stands_for_itself(self, unique: Unique) -> None:
        await self.admit("job", unique=unique)
        assert await self.admit("job", unique=unique) == ["job"]
        session = await self.open()
        await self.end(session, await self.take_one(session, "job"))
        assert await self.admit("job", unique=unique) == ["job"]
        assert await self.is_ready()

    async def test_keys_of_other_queues_are_other_keys(self) -> None:
        await self.admit("job", unique=DONE)
        assert await self.admit("other", unique=DONE, queue=OTHER) == ["other"]
        assert await self.admit("third", unique=Unique("another key")) == ["third"]

    async def test_a_key_that_looks_like_anything_is_a_key(self) -> None:
        for number, key in enumerate(["", "\0", "a:b", "{x}", "ü€", "%s' \"--", "x" * 300]):
            assert await self.admit(f"a{number}", unique=Unique(key)) == [f"a{number}"]
            assert await self.admit(f"b{number}", unique=Unique(key)) == [f"a{number}"]

    async def test_a_key_is_kept_while_its_job_waits_runs_or_is_retried(self) -> None:
        await self.admit("job", unique=DONE, delay=5)
        assert await self.taken()
        await self.advance(6)
        session = await self.open()
        delivery = await self.take_one(session, "job")
        assert await self.taken()
        assert await self.enter(session, delivery, unique=DONE) == ["run"]
        assert await self.taken()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1), delay=5))
        assert await self.taken()
        await self.advance(6)
        await self.settle(session, Settlement(await self.take_one(session, "job"), "park", task=TASK))
        assert await self.taken()

    @pytest.mark.parametrize("kind", ["end", "dead"])
    async def test_a_key_is_free_when_its_job_is_over(self, kind: str) -> None:
        await self.admit("job", unique=DONE)
        session = await self.open()
        delivery = await self.take_one(session, "job")
        await self.enter(session, delivery, unique=DONE)
        await self.settle(session, Settlement(delivery, kind, record=b"record"))  # type: ignore[arg-type]
        assert not await self.taken()

    async def test_a_key_is_free_when_its_job_was_revoked(self) -> None:
        await self.admit("job", unique=DONE)
        session, deliveries = await self.revoked("job")
        await self.jobs.aend(session, ends(deliveries))
        assert not await self.taken()

    async def test_a_key_comes_back_with_its_job_from_a_dead_session(self) -> None:
        await self.admit("job", unique=DONE)
        session = await self.open()
        await self.enter(session, await self.take_one(session, "job"), unique=DONE)
        await self.reclaim(Ended(session, ("job",)))
        assert await self.taken()
        session = await self.open()
        assert await self.enter(session, await self.take_one(session, "job"), unique=DONE) == ["run"]

    async def test_a_held_job_keeps_its_key(self) -> None:
        await self.admit("first", limit=at_once(1))
        await self.admit("job", limit=at_once(1), unique=DONE)
        assert await self.held("job")
        assert await self.taken()

    async def test_a_queued_key_is_free_when_its_job_starts_and_for_ever(self) -> None:
        await self.admit("job", unique=QUEUED)
        session = await self.open()
        delivery = await self.take_one(session, "job")
        assert await self.taken(QUEUED)
        assert await self.enter(session, delivery, unique=QUEUED) == ["run"]
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1), delay=5))
        assert not await self.taken(QUEUED)
        await self.advance(6)
        first, second = sorted(await self.take(session), key=lambda each: each.id)
        assert await self.enter(session, first, second, unique=QUEUED) == ["run", "run"]

    async def test_whoever_runs_without_having_been_asked_has_the_key(self) -> None:
        session, delivery = await self.started("job")
        assert await self.enter(session, delivery, unique=DONE) == ["run"]
        assert await self.taken()

    async def test_a_job_whose_key_is_taken_does_not_start_and_is_ended_by_its_holder(self) -> None:
        await self.admit("job", unique=DONE)
        session = await self.open()
        first = await self.take_one(session, "job")
        await self.send("other")
        second = await self.take_one(session, "other")
        for _ in range(2):
            assert await self.enter(session, second, unique=DONE) == ["taken:job"]
        assert await self.enter(session, first, unique=DONE) == ["run"]
        assert await self.end(session, second, record=b"ignored") == [True]

    @pytest.mark.parametrize("unique", [DONE, MINUTE])
    async def test_of_those_that_ask_in_one_call_the_first_that_runs_has_the_key(self, unique: Unique) -> None:
        await self.send("a", "b", "c")
        session = await self.open()
        first, second, third = await self.take(session)
        refused = f"taken:{first.id}"
        for _ in range(2):
            answers = await self.enter(session, first, second, third, unique=unique)
            assert answers == ["run", refused, refused]

    async def test_one_that_asks_and_is_held_takes_no_key_from_those_that_ask_with_it(self) -> None:
        limit = at_once(1)
        await self.admit("running", limit=limit)
        await self.entered("running", limit)
        await self.send("a", "b", "c")
        session = await self.open()
        first, second, third = await self.take(session)
        entries = [Entry(first, limit, DONE), Entry(second, limit, DONE), Entry(third, None, DONE)]
        for _ in range(2):
            assert await self.limiter.enter(session, entries) == ["held", "held", "run"]
        assert await self.held(first.id, second.id)

    async def test_whoever_has_the_key_runs_though_another_one_asks_before_it_in_one_call(self) -> None:
        await self.admit("job", unique=DONE)
        session = await self.open()
        holder = await self.take_one(session, "job")
        await self.send("other")
        other = await self.take_one(session, "other")
        for _ in range(2):
            assert await self.enter(session, other, holder, unique=DONE) == ["taken:job", "run"]

    async def test_a_job_whose_key_is_taken_takes_no_place(self) -> None:
        limit = one_every(60)
        await self.admit("job", unique=DONE, delay=5)
        session, delivery = await self.started("other")
        assert await self.limiter.enter(session, []) == []
        answers = await self.enter(session, delivery, limit=limit, unique=DONE)
        assert answers == ["taken:job"]
        assert await self.numbers() == (0, 0, 0)
        third, later = await self.started("third")
        assert await self.enter(third, later, limit=limit) == ["run"]

    async def test_many_producers_that_race_for_a_key_get_one_job_accepted(self) -> None:
        clients = [self.client() for _ in range(CLIENTS)]

        def produce(number: int) -> str:
            client = clients[number % CLIENTS]
            assert isinstance(client, LimitHolder)
            job = Job(f"job-{number}", QUEUE, b"1")
            return client.limit_store.admit([Admission(job, unique=DONE)])[0]

        with ThreadPoolExecutor(16) as pool:
            standing = set(pool.map(produce, range(PRODUCERS)))
        assert [each.id for each in await self.listed("ready")] == list(standing)


class UniqueForSecondsConformance(LimitStage):
    """`Unique.seconds`."""

    power: ClassVar = Power.LIMITS

    async def run(self, job_id: str = "job") -> str:
        """Receive the job and ask whether it may start; it is ended then."""
        session = await self.open()
        delivery = await self.take_one(session, job_id)
        (answer,) = await self.enter(session, delivery, unique=MINUTE)
        assert await self.end(session, delivery) == [True]
        return answer

    async def test_a_key_is_kept_for_seconds_after_it_was_accepted_whatever_becomes_of_the_job(self) -> None:
        await self.admit("job", unique=MINUTE)
        assert await self.run() == "run"
        await self.advance(58)
        assert await self.admit("other", unique=MINUTE) == ["job"]
        await self.advance(3)
        assert await self.admit("other", unique=MINUTE) == ["other"]

    async def test_a_revoked_job_keeps_it_too(self) -> None:
        await self.admit("job", unique=MINUTE)
        session, deliveries = await self.revoked("job")
        await self.jobs.aend(session, ends(deliveries))
        assert await self.admit("other", unique=MINUTE) == ["job"]

    async def test_after_the_time_the_next_one_is_accepted_though_the_first_still_waits(self) -> None:
        await self.admit("job", unique=MINUTE)
        await self.advance(61)
        assert await self.admit("other", unique=MINUTE) == ["other"]

    async def test_who_was_not_asked_does_not_start_within_the_time_of_one_that_has(self) -> None:
        await self.admit("job", unique=MINUTE)
        assert await self.run() == "run"
        await self.advance(50)
        await self.send("other")
        assert await self.run("other") == "taken:job"
        await self.advance(20)
        await self.send("third")
        assert await self.run("third") == "run"
        assert await self.admit("fourth", unique=MINUTE) == ["third"]

    async def test_a_backlog_starves_nobody(self) -> None:
        for number in range(4):
            assert await self.admit(f"job{number}", unique=MINUTE) == [f"job{number}"]
            await self.advance(61)
        await self.admit("newest", unique=MINUTE)
        assert await self.run("job0") == "run"
        assert await self.run("job1") == "taken:job0"
        await self.advance(61)
        assert await self.run("job2") == "run"
        await self.advance(61)
        assert await self.run("job3") == "run"
