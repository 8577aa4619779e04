"""What a broker guarantees when a process is gone: its jobs return, each charged with what is known, none buried."""

from __future__ import annotations

from typing import Final

import pytest

from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.contracts.capabilities import Power
from umbel.model.ids import new_session
from umbel.model.job import Counts
from umbel.testing.conformance.sending import HOSTILE_IDS
from umbel.testing.conformance.stage import LEASE, OTHER, QUEUE, BrokerStage, body, ids

MAX_MOVED: Final = 200
"""Jobs that one call moves."""


class ReclaimingConformance(BrokerStage):
    """Ended and lapsed sessions, due jobs, quarantine marks."""

    power = Power.LEASES

    async def test_a_job_of_a_lapsed_session_returns_with_one_loss(self) -> None:
        _, lost = await self.started()
        assert (await self.lapse()).returned == 1
        again = await self.take_one(await self.open(), "job")
        assert (again.counts, again.returned) == (Counts(losses=1), True)
        assert (again.envelope, again.level) == (body("job"), lost.level)

    async def test_jobs_of_a_lapsed_session_return_to_the_front(self) -> None:
        await self.send("1", "2", "3")
        await self.take(await self.open(), 2)
        await self.lapse()
        returned = ids(await self.take(await self.open()))
        assert (sorted(returned[:2]), returned[2:]) == (["1", "2"], ["3"])

    async def test_a_started_job_of_an_ended_session_is_charged_a_crash_and_its_neighbours_nothing(self) -> None:
        await self.send("guilty", "beside")
        session = await self.open()
        await self.take(session)
        assert (await self.reclaim(Ended(session, ("guilty",)))).returned == 2
        counts = {each.id: each.counts for each in await self.take(await self.open())}
        assert counts == {"guilty": Counts(crashes=1), "beside": Counts()}

    async def test_an_ended_session_returns_its_jobs_at_once(self) -> None:
        session, _ = await self.started()
        assert (await self.reclaim(Ended(session))).returned == 1
        again = await self.take_one(await self.open(), "job")
        assert (again.counts, again.returned) == (Counts(), True)

    async def test_ending_one_session_touches_no_other(self) -> None:
        gone, _ = await self.started("1")
        alive, delivery = await self.started("2")
        assert (await self.reclaim(Ended(gone, ("1", "2")))).returned == 1
        assert await self.end(alive, delivery) == [True]

    async def test_an_ended_session_is_reported_twice_and_charged_once(self) -> None:
        session, _ = await self.started()
        await self.reclaim(Ended(session, ("job",)))
        assert (await self.reclaim(Ended(session, ("job",)))).returned == 0
        assert (await self.take_one(await self.open(), "job")).counts == Counts(crashes=1)

    async def test_a_started_job_that_was_settled_is_charged_nothing(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery)
        assert (await self.reclaim(Ended(session, ("job",)))).returned == 0
        assert await self.take(await self.open()) == []

    async def test_an_unknown_session_may_be_reported_as_ended(self) -> None:
        assert (await self.reclaim(Ended(new_session(), ("job",)))).returned == 0

    async def test_several_ended_sessions_are_reclaimed_in_one_call(self) -> None:
        sessions = [(await self.started(str(number)))[0] for number in range(4)]
        ended = [Ended(each, (str(number),)) for number, each in enumerate(sessions)]
        assert (await self.reclaim(*ended)).returned == 4
        counts = {each.counts for each in await self.take(await self.open())}
        assert counts == {Counts(crashes=1)}

    async def test_it_works_in_all_queues_asked_for_and_in_no_other(self) -> None:
        await self.send("here")
        await self.send("there", queue=OTHER)
        session = await self.open(QUEUE, OTHER)
        await self.take(session, queues=[QUEUE])
        await self.take(session, queues=[OTHER])
        assert (await self.reclaim(Ended(session))).returned == 1
        assert (await self.reclaim(Ended(session), queues=(QUEUE, OTHER))).returned == 1

    async def test_crashes_and_losses_add_up_and_nothing_is_buried(self) -> None:
        await self.send("job")
        for number in range(1, 5):
            session = await self.open()
            assert (await self.take_one(session, "job")).counts.crashes == number - 1
            await self.reclaim(Ended(session, ("job",)))
        for number in range(1, 5):
            assert (await self.take_one(await self.open(), "job")).counts == Counts(crashes=4, losses=number - 1)
            await self.lapse()

    async def test_charges_leave_the_retries_alone(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=2)))
        await self.take_one(session, "job")
        await self.reclaim(Ended(session, ("job",)))
        assert (await self.take_one(await self.open(), "job")).counts == Counts(retries=2, crashes=1)

    async def test_a_replaced_envelope_lasts_through_a_reclaim(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=1), envelope=b"replaced"))
        await self.take_one(session, "job")
        await self.reclaim(Ended(session))
        assert (await self.take_one(await self.open(), "job")).envelope == b"replaced"

    # --- quarantine

    async def test_a_marked_job_of_a_lapsed_session_is_charged_a_crash(self) -> None:
        session, delivery = await self.started()
        assert await self.broker.mark(session, delivery)
        await self.lapse()
        counts = (await self.take_one(await self.open(), "job")).counts
        assert (counts.crashes, counts.losses) == (1, 0)

    async def test_a_mark_is_for_one_delivery_only(self) -> None:
        session, delivery = await self.started()
        await self.broker.mark(session, delivery)
        await self.lapse()
        await self.take_one(await self.open(), "job")
        await self.lapse()
        counts = (await self.take_one(await self.open(), "job")).counts
        assert (counts.crashes, counts.losses) == (1, 1)

    @pytest.mark.parametrize("kind", ["retry", "release"])
    async def test_a_mark_does_not_outlast_the_settle(self, kind: str) -> None:
        session, delivery = await self.started()
        await self.broker.mark(session, delivery)
        counts = Counts(retries=1) if kind == "retry" else None
        assert await self.settle(session, Settlement(delivery, kind, counts=counts)) == [True]  # type: ignore[arg-type]
        await self.take_one(session, "job")
        await self.lapse()
        again = (await self.take_one(await self.open(), "job")).counts
        assert (again.crashes, again.losses) == (0, 1)

    async def test_a_mark_does_not_outlast_a_reconcile(self) -> None:
        session, delivery = await self.started()
        await self.broker.mark(session, delivery)
        await self.broker.reconcile(session, [QUEUE], [])
        await self.take_one(session, "job")
        await self.lapse()
        again = (await self.take_one(await self.open(), "job")).counts
        assert (again.crashes, again.losses) == (0, 1)

    async def test_a_mark_may_be_repeated(self) -> None:
        session, delivery = await self.started()
        assert await self.broker.mark(session, delivery)
        assert await self.broker.mark(session, delivery)
        assert await self.end(session, delivery) == [True]

    async def test_a_delivery_that_is_no_longer_held_cannot_be_marked(self) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "job")
        assert not await self.broker.mark(session, old)
        assert not await self.broker.mark(await self.open(), new)
        assert await self.broker.mark(session, new)

    # --- due times and deadlines

    async def test_it_answers_when_the_next_lease_ends(self) -> None:
        assert (await self.broker.reclaim([QUEUE], LEASE)).next_deadline is None
        await self.open()
        await self.advance(LEASE / 4)
        await self.open()
        answer = (await self.broker.reclaim([QUEUE], LEASE)).next_deadline
        assert answer == pytest.approx(LEASE * 3 / 4, abs=0.1)

    async def test_a_session_is_dead_while_its_jobs_are_still_being_moved(self) -> None:
        await self.send(*(str(number) for number in range(MAX_MOVED + 50)))
        session = await self.open()
        held = [each for _ in range(3) for each in await self.take(session, 100)]
        await self.broker.reclaim([QUEUE], LEASE, [Ended(session)])
        assert await self.end(session, *held) == [False] * len(held)
        assert await self.broker.heartbeat([Beat(session)], [QUEUE], LEASE) == [False]
        await self.reclaim(Ended(session))
        survivor = await self.open()
        assert sum([len(await self.take(survivor, 100)) for _ in range(3)]) == len(held)

    async def test_reclaiming_an_empty_queue_does_nothing(self) -> None:
        answer = await self.broker.reclaim([QUEUE, OTHER], LEASE)
        assert (answer.promoted, answer.returned, answer.next_due, answer.next_deadline) == (0, 0, None, None)

    async def test_hostile_ids_survive_a_lost_session(self) -> None:
        await self.send(*HOSTILE_IDS)
        assert len(await self.take(await self.open(), 100)) == len(HOSTILE_IDS)
        assert (await self.lapse()).returned == len(HOSTILE_IDS)
        assert sorted(ids(await self.take(await self.open(), 100))) == sorted(HOSTILE_IDS)


class PortionConformance(BrokerStage):
    """How much one call of reclaim moves, so that no call blocks the engine for long."""

    power = Power.LEASES

    async def test_a_call_moves_at_most_two_hundred_jobs_of_an_ended_session(self) -> None:
        names = [str(number) for number in range(2 * MAX_MOVED + 50)]
        await self.send(*names)
        session = await self.open()
        while await self.take(session, 100):
            pass
        moved: list[int] = []
        while step := (await self.broker.reclaim([QUEUE], LEASE, [Ended(session, ("0", "449"))])).returned:
            moved.append(step)
        assert sum(moved) == len(names)
        assert max(moved) <= MAX_MOVED
        survivor = await self.open()
        received = [each for _ in range(5) for each in await self.take(survivor, 100)]
        assert sorted(ids(received), key=int) == names
        assert {each.id for each in received if each.counts.crashes} == {"0", "449"}
