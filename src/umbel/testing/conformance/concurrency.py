"""What an engine guarantees of how many jobs run at once: never more than allowed, and no place is lost or kept."""

from __future__ import annotations

from typing import ClassVar

import pytest

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import Counts
from umbel.model.limit import Limit, Pace
from umbel.testing.conformance.limit_stage import LimitStage, at_once, names
from umbel.testing.conformance.stage import OTHER, QUEUE, ids

ONE = at_once(1)
TWO = at_once(2)
OVER = ("end", "dead", "park", "retry")
"""How a delivery is settled so that its job neither runs nor is ready."""


class EnteringConformance(LimitStage):
    """`LimitStore.enter`: the worker asks before it runs a job."""

    power: ClassVar = Power.LIMITS

    async def test_jobs_for_which_there_is_no_room_are_held_when_they_are_sent(self) -> None:
        assert await self.admit("a", "b", "c", limit=TWO) == ["a", "b", "c"]
        assert await self.is_ready("a", "b")
        assert await self.held("c")
        assert await self.numbers() == (1, 2, 0)

    async def test_what_was_released_may_run(self) -> None:
        await self.admit("a", "b", limit=ONE)
        await self.entered("a", ONE)
        assert await self.numbers() == (1, 0, 1)

    async def test_a_job_that_was_sent_without_asking_runs_if_there_is_room(self) -> None:
        await self.send("job")
        await self.entered("job", ONE)
        assert await self.numbers() == (0, 0, 1)

    async def test_a_job_for_which_there_is_no_room_is_held_and_taken_from_its_session(self) -> None:
        await self.send("a", "b", "c")
        session = await self.open()
        deliveries = await self.take(session)
        assert await self.enter(session, *deliveries, limit=ONE) == ["run", "held", "held"]
        assert await self.held("b", "c")
        assert await self.end(session, *deliveries) == [True, False, False]

    async def test_a_job_that_was_held_is_charged_nothing(self) -> None:
        await self.send("a", "b")
        session = await self.open()
        first, second = await self.take(session)
        await self.broker.mark(session, second)
        await self.enter(session, first, second, limit=ONE)
        await self.finish(session, first, ONE)
        again = await self.take_one(session, "b")
        assert (again.counts, again.returned) == (Counts(), True)
        assert await self.enter(session, again, limit=ONE) == ["run"]

    async def test_a_repeat_answers_the_same(self) -> None:
        await self.send("a", "b")
        session = await self.open()
        deliveries = await self.take(session)
        for _ in range(3):
            assert await self.enter(session, *deliveries, limit=ONE) == ["run", "held"]
            assert await self.numbers() == (1, 0, 1)

    async def test_what_nobody_limits_may_run(self) -> None:
        session, delivery = await self.started()
        assert await self.enter(session, delivery) == ["run"]
        assert await self.standings() == []

    async def test_whoever_lost_a_job_is_told_so(self) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "job")
        other = await self.open()
        assert await self.enter(session, old, limit=ONE) == ["lost"]
        assert await self.enter(other, new, limit=ONE) == ["lost"]
        await self.end(session, new)
        assert await self.enter(session, new, limit=ONE) == ["lost"]
        assert await self.numbers() == (0, 0, 0)

    async def test_a_dead_session_enters_nothing(self) -> None:
        session, delivery = await self.started()
        await self.reclaim(Ended(session))
        assert await self.enter(session, delivery, limit=ONE) == ["lost"]
        assert await self.is_ready("job")

    async def test_each_queue_task_and_key_has_a_limit_of_its_own(self) -> None:
        await self.admit("a", "b", limit=ONE)
        await self.admit("c", "d", limit=at_once(1, "key"))
        await self.admit("e", "f", limit=Limit("other", pace=Pace(1)))
        await self.admit("g", "h", limit=ONE, queue=OTHER)
        assert await self.is_ready("a", "c", "e")
        assert await self.held("b", "d", "f")
        assert await self.numbers(queue=OTHER) == (1, 1, 0)

    async def test_entries_of_several_queues_and_limits_are_asked_in_one_call(self) -> None:
        await self.send("a", "b")
        await self.send("c", "d", queue=OTHER)
        session = await self.open(QUEUE, OTHER)
        here = await self.take(session)
        there = await self.take(session, queues=[OTHER])
        assert await self.enter(session, *here, *there, limit=ONE) == ["run", "held", "run", "held"]

    async def test_a_doomed_job_is_not_held(self) -> None:
        await self.send("a", "b")
        session = await self.open()
        first, second = await self.take(session)
        await self.revoke("b")
        assert await self.enter(session, first, second, limit=ONE) == ["run", "held"]
        again = await self.take_one(session, "b")
        assert again.counts.doom == "revoked"
        assert await self.enter(session, again, limit=ONE) == ["run"]
        assert await self.end(session, again) == [True]
        assert await self.numbers() == (0, 0, 1)


class PlaceConformance(LimitStage):
    """Places of a limit: kept while a job may run again, given to others when it is over."""

    power: ClassVar = Power.LIMITS

    async def run_one(self) -> None:
        """Job a runs, job b is held."""
        await self.admit("a", "b", limit=ONE)
        self.session, self.delivery = await self.entered("a", ONE)

    @pytest.mark.parametrize("kind", OVER)
    async def test_a_job_that_is_over_leaves_its_place_to_the_next(self, kind: str) -> None:
        await self.run_one()
        await self.finish(self.session, self.delivery, ONE, kind)
        assert await self.is_ready("b")
        assert await self.numbers() == (0, 1, 0)

    @pytest.mark.parametrize("kind", OVER)
    async def test_a_job_that_is_over_leaves_its_place_if_nobody_tells_so(self, kind: str) -> None:
        await self.run_one()
        counts = Counts(retries=1) if kind == "retry" else None
        await self.settle(self.session, Settlement(self.delivery, kind, counts=counts, delay=60, task="x"))  # type: ignore[arg-type]
        await self.forget()
        assert await self.is_ready("b")

    async def test_a_job_that_still_runs_does_not_leave(self) -> None:
        await self.run_one()
        await self.leave(ONE, "a")
        await self.forget()
        assert await self.numbers() == (1, 0, 1)

    async def test_leaving_twice_or_without_a_place_changes_nothing(self) -> None:
        await self.run_one()
        await self.finish(self.session, self.delivery, ONE)
        await self.leave(ONE, "a", "unknown")
        await self.leave(at_once(1, "unknown"), "a")
        assert await self.numbers() == (0, 1, 0)

    async def test_a_job_whose_session_died_keeps_its_place(self) -> None:
        await self.run_one()
        await self.reclaim(Ended(self.session, ("a",)))
        await self.forget()
        assert await self.held("b")
        await self.entered("a", ONE)
        assert await self.numbers() == (1, 0, 1)

    async def test_a_job_whose_session_lapsed_keeps_its_place(self) -> None:
        await self.run_one()
        await self.lapse()
        assert await self.held("b")
        await self.entered("a", ONE)

    async def test_a_job_that_its_worker_gives_back_keeps_its_place(self) -> None:
        await self.run_one()
        await self.finish(self.session, self.delivery, ONE, "release")
        await self.forget()
        assert await self.held("b")
        await self.entered("a", ONE)

    async def test_a_released_job_whose_session_died_before_it_entered_is_still_released(self) -> None:
        await self.admit("a", "b", limit=ONE)
        session = await self.open()
        await self.take_one(session, "a")
        await self.reclaim(Ended(session))
        await self.forget()
        assert await self.numbers() == (1, 1, 0)
        await self.entered("a", ONE)

    async def test_a_released_job_that_ends_without_entering_leaves_too(self) -> None:
        await self.admit("a", "b", limit=ONE)
        session = await self.open()
        await self.finish(session, await self.take_one(session, "a"), ONE)
        assert await self.is_ready("b")

    async def test_a_retried_job_asks_anew_when_it_is_due(self) -> None:
        await self.run_one()
        await self.finish(self.session, self.delivery, ONE, "retry")
        await self.entered("b", ONE)
        await self.advance(11)
        again = await self.take_one(self.session, "a")
        assert await self.enter(self.session, again, limit=ONE) == ["held"]

    async def test_a_job_retried_at_once_asks_anew_behind_those_that_wait(self) -> None:
        await self.run_one()
        await self.settle(self.session, Settlement(self.delivery, "retry", counts=Counts(retries=1)))
        await self.leave(ONE, "a")
        first = await self.take(self.session)
        for each in first:  # b is here, too, if the place was free at once
            answer = await self.enter(self.session, each, limit=ONE)
            assert answer == ["held" if each.id == "a" else "run"]
        assert await self.all_start(self.session, ONE) == ["b" for _ in range(2 - len(first))]
        assert await self.held("a")

    async def test_whoever_leaves_late_takes_no_place_from_a_job_that_runs_again(self) -> None:
        await self.send("a")
        session, delivery = await self.entered("a", ONE)
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1)))
        again, second = await self.entered("a", ONE)
        await self.leave(ONE, "a")
        await self.send("b")
        late = await self.take_one(again, "b")
        assert await self.enter(again, late, limit=ONE) == ["held"]
        await self.finish(again, second, ONE)
        assert await self.is_ready("b")

    async def test_held_jobs_are_released_by_level_and_then_in_the_order_in_which_they_came(self) -> None:
        await self.admit("first", "c", "d", limit=ONE)
        await self.admit("a", "b", limit=ONE, priority=5)
        assert await self.run_in_turn(ONE) == ["first", "a", "b", "c", "d"]

    async def test_many_places_are_given_at_once(self) -> None:
        await self.admit(*names("a", 30), limit=at_once(10))
        session = await self.open()
        deliveries = await self.take(session, 30)
        assert len(deliveries) == 10
        await self.enter(session, *deliveries, limit=at_once(10))
        await self.end(session, *deliveries)
        await self.leave(at_once(10), *ids(deliveries))
        assert await self.numbers() == (10, 10, 0)

    async def test_the_last_word_of_the_jobs_counts(self) -> None:
        await self.admit("a", "b", "c", limit=ONE)
        await self.admit("d", limit=at_once(3))
        assert await self.is_ready("a", "b", "c")
        await self.admit("e", limit=ONE)
        await self.finish(*(await self.entered("a", ONE)), ONE)
        assert await self.held("d", "e")

    @pytest.mark.parametrize("before", [ONE, Limit("task", turn="a")])
    async def test_a_job_that_enters_under_another_limit_gives_its_place_to_others(self, before: Limit) -> None:
        other = at_once(1, "other")
        await self.admit("a", "b", "c", limit=before)
        session = await self.open()
        for job_id, answer in (("a", "run"), ("b", "held")):
            assert await self.enter(session, await self.take_one(session, job_id), limit=other) == [answer]
        assert await self.is_ready("c")

    async def test_delayed_jobs_wait_as_ever_and_ask_when_they_are_received(self) -> None:
        await self.admit("a", "b", limit=ONE, delay=5)
        assert [each.place for each in [await self.located("a"), await self.located("b")]] == ["delayed"] * 2
        await self.advance(6)
        session = await self.open()
        assert await self.enter(session, *await self.take(session), limit=ONE) == ["run", "held"]

    async def test_a_receiver_that_sleeps_is_given_what_a_place_is_free_for(self) -> None:
        self.real_time()
        await self.run_one()
        assert (await self.woken_by(lambda: self.finish(self.session, self.delivery, ONE))).id == "b"
