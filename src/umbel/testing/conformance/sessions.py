"""What a broker guarantees about sessions: opened once, alive while they beat, and never revived."""

from __future__ import annotations

import pytest

from umbel.contracts.broker import Beat, Ended, SessionDead, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.testing.conformance.stage import LEASE, OTHER, QUEUE, BrokerStage, ids


class SessionConformance(BrokerStage):
    """Opening, beating, dying."""

    power = Power.LEASES

    async def beat(self, *sessions: str, queues: tuple[str, ...] = (QUEUE,), opening: bool = False) -> list[bool]:
        """One heartbeat for all *sessions*."""
        return await self.broker.heartbeat([Beat(each) for each in sessions], queues, LEASE, opening=opening)

    async def dead(self) -> str:
        """A session that was declared dead."""
        session = await self.open()
        await self.reclaim(Ended(session))
        return session

    async def test_a_session_is_opened_once(self) -> None:
        session = await self.open()
        assert await self.beat(session, opening=True) == [False]

    async def test_opening_again_takes_nothing_from_an_open_session(self) -> None:
        session, delivery = await self.started()
        await self.beat(session, opening=True)
        assert await self.end(session, delivery) == [True]

    async def test_several_sessions_are_opened_in_one_call(self) -> None:
        sessions = [new_session() for _ in range(8)]
        assert await self.beat(*sessions, opening=True) == [True] * 8
        assert await self.beat(*sessions) == [True] * 8

    async def test_each_session_of_a_heartbeat_has_its_own_answer(self) -> None:
        alive, dead = await self.open(), await self.dead()
        assert await self.beat(alive, new_session(), dead, alive) == [True, False, False, True]

    async def test_an_unknown_session_cannot_beat(self) -> None:
        assert await self.beat(new_session()) == [False]

    async def test_no_beats_are_answered_with_no_answers(self) -> None:
        assert await self.beat() == []

    async def test_one_session_serves_several_queues(self) -> None:
        session = await self.open(QUEUE, OTHER)
        assert await self.beat(session, queues=(QUEUE, OTHER)) == [True]
        await self.send("here")
        await self.send("there", queue=OTHER)
        received = await self.take(session, queues=(QUEUE, OTHER)) + await self.take(session, queues=(QUEUE, OTHER))
        assert sorted(ids(received)) == ["here", "there"]
        assert await self.end(session, *received) == [True, True]

    async def test_a_session_that_beats_keeps_its_jobs(self) -> None:
        session, delivery = await self.started()
        for _ in range(12):
            await self.advance(LEASE / 4)
            assert await self.beat(session) == [True]
            assert (await self.reclaim()).returned == 0
        assert await self.end(session, delivery) == [True]

    async def test_a_lease_lasts_as_long_as_was_asked_for(self) -> None:
        session, _ = await self.started()
        keeper = await self.open()
        for _ in range(3):
            await self.advance(LEASE / 4)
            await self.beat(keeper)
        await self.advance(LEASE / 4 - 0.25)
        await self.beat(keeper)
        assert (await self.reclaim()).returned == 0
        assert await self.beat(session) == [True]

    async def test_a_session_that_stops_beating_loses_its_jobs(self) -> None:
        await self.started()
        assert (await self.lapse()).returned == 1

    async def test_a_lapsed_session_that_nobody_reclaimed_may_beat_again(self) -> None:
        session, delivery = await self.started()
        await self.advance(LEASE * 2)
        assert await self.beat(session) == [True]
        assert (await self.reclaim()).returned == 0
        assert await self.end(session, delivery) == [True]

    async def test_a_lapsed_session_without_jobs_is_dead_as_well(self) -> None:
        session = await self.open()
        await self.lapse()
        assert await self.beat(session) == [False]

    async def test_an_ended_session_without_jobs_is_dead_as_well(self) -> None:
        assert await self.beat(await self.dead()) == [False]

    async def test_a_dead_session_is_never_revived(self) -> None:
        session, _ = await self.started()
        await self.lapse()
        for _ in range(3):
            assert await self.beat(session) == [False]
            await self.advance(LEASE / 4)
        with pytest.raises(SessionDead):
            await self.take(session)

    async def test_a_dead_session_cannot_be_opened_again(self) -> None:
        session = await self.dead()
        assert await self.beat(session, opening=True) == [False]
        with pytest.raises(SessionDead):
            await self.take(session)

    async def test_a_dead_session_receives_nothing(self) -> None:
        session = await self.dead()
        await self.send("job")
        with pytest.raises(SessionDead):
            await self.take(session)
        await self.take_one(await self.open(), "job")

    async def test_a_dead_session_settles_nothing(self) -> None:
        session, delivery = await self.started()
        await self.lapse()
        for kind in ("end", "dead", "retry", "release", "park"):
            assert await self.settle(session, Settlement(delivery, kind, task="task")) == [False]
        await self.take_one(await self.open(), "job")

    async def test_a_dead_session_settles_nothing_while_another_holds_its_job(self) -> None:
        zombie, old = await self.started()
        await self.reclaim(Ended(zombie))
        session = await self.open()
        new = await self.take_one(session, "job")
        assert await self.end(zombie, old) == [False]
        assert await self.end(session, new) == [True]

    async def test_a_dead_session_creates_no_follow_ups(self) -> None:
        session, delivery = await self.started()
        await self.lapse()
        end = Settlement(delivery, "end", follow_ups=(Job("next", QUEUE, b"1"),))
        assert await self.settle(session, end) == [False]
        assert ids(await self.take(await self.open())) == ["job"]

    async def test_a_dead_session_marks_nothing(self) -> None:
        session, delivery = await self.started()
        await self.lapse()
        assert not await self.broker.mark(session, delivery)

    async def test_a_dead_session_cannot_reconcile(self) -> None:
        session, delivery = await self.started()
        await self.lapse()
        with pytest.raises(SessionDead):
            await self.broker.reconcile(session, [QUEUE], [delivery])

    async def test_a_session_lost_in_one_queue_is_told_so(self) -> None:
        session = await self.open(QUEUE, OTHER)
        await self.reclaim(Ended(session), queues=(OTHER,))
        assert await self.beat(session, queues=(QUEUE, OTHER)) == [False]

    async def test_a_session_lost_in_one_queue_goes_on_in_the_others(self) -> None:
        await self.send("1", "2")
        session = await self.open(QUEUE, OTHER)
        await self.reclaim(Ended(session), queues=(OTHER,))
        first = await self.take_one(session, "1")
        with pytest.raises(SessionDead):
            await self.take(session, queues=[OTHER])
        second = await self.take_one(session, "2")
        assert second.number > first.number
        assert await self.end(session, first, second) == [True, True]

    async def test_a_silence_of_all_is_an_outage_and_nobody_lapses_at_once(self) -> None:
        session, delivery = await self.started()
        await self.advance(LEASE * 3)
        other = await self.open()
        assert (await self.reclaim()).returned == 0
        assert await self.beat(session, other) == [True, True]
        assert await self.end(session, delivery) == [True]

    async def test_whoever_stays_silent_after_an_outage_lapses(self) -> None:
        await self.started()
        await self.advance(LEASE * 3)
        await self.reclaim()
        assert (await self.lapse()).returned == 1

    async def test_a_clock_set_back_keeps_no_session_alive_for_ever(self) -> None:
        await self.started()
        await self.advance(-3600.0)
        assert (await self.lapse()).returned + (await self.lapse()).returned == 1

    async def test_an_unknown_session_receives_nothing(self) -> None:
        await self.send("job")
        with pytest.raises(SessionDead):
            await self.take(new_session())
        await self.take_one(await self.open(), "job")

    async def test_a_session_receives_nothing_from_a_queue_it_was_not_opened_in(self) -> None:
        await self.send("job", queue=OTHER)
        session = await self.open(QUEUE)
        with pytest.raises(SessionDead):
            await self.take(session, queues=[OTHER])

    async def test_a_settle_by_a_session_that_ended_meanwhile_is_refused_whole(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        deliveries = await self.take(session)
        await self.reclaim(Ended(session))
        assert await self.end(session, *deliveries) == [False] * 3
