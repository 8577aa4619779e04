"""What an engine guarantees of turns: who sends much keeps nobody waiting who sends little."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from umbel.contracts.capabilities import Power
from umbel.contracts.limits import Entry
from umbel.model.limit import Limit, Pace
from umbel.testing.conformance.job_stage import ends
from umbel.testing.conformance.limit_stage import TASK, LimitStage, names


def turn_of(name: str | None, concurrency: int = 0) -> Limit:
    """A limit under which *name* takes its turn."""
    return Limit(TASK, "", name, Pace(concurrency))


class TurnConformance(LimitStage):
    """`Limit.turn`."""

    power: ClassVar = Power.LIMITS

    async def start(self, session: str, most: int = 50) -> list[str]:
        """Receive, and start in one call all that was received; the turn of each is the letter its id begins with."""
        deliveries = await self.take(session, most)
        answers = await self.limiter.enter(session, [Entry(each, turn_of(each.id[0])) for each in deliveries])
        assert answers == ["run"] * len(deliveries)
        return [each.id for each in deliveries]

    async def test_each_turn_has_one_job_ready_at_a_time(self) -> None:
        await self.admit("a1", "a2", "a3", limit=turn_of("a"))
        await self.admit("b1", "b2", limit=turn_of("b"))
        assert await self.is_ready("a1", "b1")
        assert await self.numbers() == (3, 2, 0)

    async def test_the_next_of_a_turn_is_ready_when_one_has_started(self) -> None:
        await self.admit("a1", "a2", "a3", limit=turn_of("a"))
        await self.entered("a1", turn_of("a"))
        assert await self.is_ready("a2", "a3")

    async def test_a_turn_that_is_alone_has_twice_as_many_ready_as_have_started_at_once(self) -> None:
        await self.admit(*names("a", 70), limit=turn_of("a"))
        session = await self.open()
        assert [len(await self.start(session)) for _ in range(7)] == [1, 2, 4, 8, 16, 16, 16]

    async def test_a_turn_whose_jobs_start_one_by_one_has_two_of_them_ready(self) -> None:
        await self.admit(*names("a", 60), limit=turn_of("a"))
        session = await self.open()
        assert [len(await self.start(session)) for _ in range(4)] == [1, 2, 4, 8]
        for _ in range(17):
            await self.start(session, 1)
        assert await self.numbers() == (26, 2, 32)

    async def test_two_turns_share_what_is_ready(self) -> None:
        await self.admit(*names("a", 60), limit=turn_of("a"))
        await self.admit(*names("b", 60), limit=turn_of("b"))
        session = await self.open()
        for _ in range(4):
            await self.start(session)
        started = await self.start(session)
        assert len(started) == 16
        assert Counter(each[0] for each in started) == {"a": 8, "b": 8}

    async def test_a_turn_that_is_alone_keeps_a_new_one_waiting_for_sixteen_jobs(self) -> None:
        await self.admit(*names("a", 60), limit=turn_of("a"))
        session = await self.open()
        for _ in range(5):
            await self.start(session)
        await self.admit("b", limit=turn_of("b"))
        assert (await self.start(session))[16] == "b"

    async def test_of_many_turns_each_has_one_job_ready(self) -> None:
        turns = "abcdefghijklmnopqrst"
        for turn in turns:
            await self.admit(*names(turn, 3), limit=turn_of(turn))
        session = await self.open()
        assert len(await self.start(session, 4)) == 4
        assert sorted(each[0] for each in await self.start(session)) == list(turns)

    async def test_a_single_job_waits_for_no_flood(self) -> None:
        await self.admit(*names("a", 60), limit=turn_of("a"))
        await self.admit("b", limit=turn_of("b"))
        order = await self.run_in_turn(limits=dict.fromkeys(names("a", 60), turn_of("a")) | {"b": turn_of("b")})
        assert order.index("b") == 1
        assert len(order) == 61

    async def test_turns_follow_each_other_round_and_round(self) -> None:
        limits: dict[str, Limit] = {}
        for name, count in (("a", 4), ("b", 2), ("c", 1)):
            limits |= dict.fromkeys(names(name, count), turn_of(name, 1))
            await self.admit(*names(name, count), limit=turn_of(name, 1))
        assert await self.run_in_turn(limits=limits) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]

    async def test_whoever_comes_new_is_the_last_of_the_round(self) -> None:
        limits: dict[str, Limit] = {}
        for name in ("a", "b"):
            limits |= dict.fromkeys(names(name, 3), turn_of(name, 1))
            await self.admit(*names(name, 3), limit=turn_of(name, 1))
        session, delivery = await self.entered("a0", turn_of("a", 1))
        await self.admit("c0", limit=turn_of("c", 1))
        await self.finish(session, delivery, turn_of("a", 1))
        order = await self.run_in_turn(limits=limits | {"c0": turn_of("c", 1)})
        assert order.index("c0") <= 2
        assert [each for each in order if each != "c0"] == ["b0", "a1", "b1", "a2", "b2"]

    async def test_within_a_turn_the_level_counts(self) -> None:
        limits = dict.fromkeys(["a", "b", "c"], turn_of("x", 1))
        await self.admit("a", "b", limit=turn_of("x", 1))
        await self.admit("c", limit=turn_of("x", 1), priority=3)
        assert await self.run_in_turn(limits=limits) == ["a", "c", "b"]

    async def test_a_turn_holds_what_asks_though_it_was_not_sent_under_it(self) -> None:
        await self.admit("a1", "a2", limit=turn_of("a", 1))
        await self.send("a3", priority=9)
        session = await self.open()
        late = await self.take_one(session, "a3")
        assert await self.enter(session, late, limit=turn_of("a", 1)) == ["held"]

    async def test_jobs_without_a_turn_wait_for_none(self) -> None:
        await self.admit("a", "b", "c", limit=turn_of(None, 2))
        assert await self.is_ready("a", "b")

    async def test_a_turn_whose_ready_job_was_revoked_goes_on(self) -> None:
        await self.admit("a1", "a2", limit=turn_of("a"))
        session, deliveries = await self.revoked("a1")
        assert await self.jobs.aend(session, ends(deliveries)) == [True]
        await self.forget()
        assert await self.is_ready("a2")

    async def test_a_turn_whose_ready_job_ended_otherwise_goes_on(self) -> None:
        await self.admit("a1", "a2", "a3", limit=turn_of("a"))
        session = await self.open()
        await self.finish(session, await self.take_one(session, "a1"), turn_of("a"), "park")
        assert await self.is_ready("a2")
        await self.end(session, await self.take_one(session, "a2"))
        await self.forget()
        assert await self.is_ready("a3")

    async def test_a_turn_without_jobs_is_forgotten(self) -> None:
        await self.admit("a1", "a2", limit=turn_of("a"))
        await self.run_in_turn(turn_of("a"))
        assert await self.standings() == []
