"""What a broker guarantees when an answer got lost: the child says what it holds, the rest is ready again."""

from __future__ import annotations

from umbel.contracts.broker import Settlement
from umbel.contracts.capabilities import Power
from umbel.model.job import Counts
from umbel.testing.conformance.stage import OTHER, QUEUE, BrokerStage, body, ids


class ReconcilingConformance(BrokerStage):
    """Reconcile, and receives that come late."""

    power = Power.LEASES

    async def test_a_job_the_child_does_not_list_is_ready_again(self) -> None:
        session, lost = await self.started()
        assert await self.broker.reconcile(session, [QUEUE], []) == 1
        again = await self.take_one(session, "job")
        assert (again.envelope, again.counts, again.returned) == (body("job"), Counts(), True)
        assert again.number > lost.number

    async def test_a_job_the_child_lists_stays_where_it_is(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        first, _, third = await self.take(session)
        assert await self.broker.reconcile(session, [QUEUE], [third, first]) == 1
        assert ids(await self.take(session)) == ["2"]
        assert await self.end(session, first, third) == [True, True]

    async def test_jobs_return_to_the_front(self) -> None:
        session, _ = await self.started("1")
        await self.send("2")
        await self.broker.reconcile(session, [QUEUE], [])
        assert ids(await self.take(session)) == ["1", "2"]

    async def test_a_lost_delivery_settles_nothing_after_a_reconcile(self) -> None:
        session, lost = await self.started()
        await self.broker.reconcile(session, [QUEUE], [])
        assert await self.end(session, lost) == [False]
        again = await self.take_one(session, "job")
        assert await self.end(session, lost) == [False]
        assert await self.end(session, again) == [True]

    async def test_a_job_listed_under_an_earlier_number_is_not_listed(self) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        await self.take_one(session, "job")
        assert await self.broker.reconcile(session, [QUEUE], [old]) == 1
        await self.take_one(session, "job")

    async def test_a_job_may_be_listed_under_an_earlier_number_beside_its_own(self) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "job")
        assert await self.broker.reconcile(session, [QUEUE], [old, new]) == 0
        assert await self.broker.reconcile(session, [QUEUE], [new, old]) == 0
        assert await self.end(session, new) == [True]

    async def test_nothing_held_and_nothing_listed_is_nothing_to_do(self) -> None:
        assert await self.broker.reconcile(await self.open(), [QUEUE], []) == 0

    async def test_a_listed_job_that_the_broker_does_not_hold_is_no_error(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery)
        assert await self.broker.reconcile(session, [QUEUE], [delivery]) == 0
        assert await self.take(session) == []

    async def test_a_repeated_reconcile_changes_nothing(self) -> None:
        session, _ = await self.started()
        assert await self.broker.reconcile(session, [QUEUE], []) == 1
        assert await self.broker.reconcile(session, [QUEUE], []) == 0
        assert ids(await self.take(session)) == ["job"]

    async def test_it_touches_no_other_session(self) -> None:
        first, held = await self.started("1")
        second, other = await self.started("2")
        assert await self.broker.reconcile(first, [QUEUE], [held]) == 0
        assert await self.end(second, other) == [True]

    async def test_it_works_over_all_queues_of_the_session(self) -> None:
        await self.send("here")
        await self.send("there", queue=OTHER)
        session = await self.open(QUEUE, OTHER)
        await self.take(session, queues=[QUEUE])
        await self.take(session, queues=[OTHER])
        assert await self.broker.reconcile(session, [QUEUE, OTHER], []) == 2

    async def test_counts_are_kept(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", counts=Counts(retries=2, crashes=1)))
        await self.take_one(session, "job")
        await self.broker.reconcile(session, [QUEUE], [])
        assert (await self.take_one(session, "job")).counts == Counts(retries=2, crashes=1)

    async def test_a_receive_that_comes_after_the_reconcile_is_refused(self) -> None:
        session = await self.open()
        late = self.client()  # its receives are numbered from 1, like one that was under way for long
        await self.broker.reconcile(session, [QUEUE], [])
        await self.broker.reconcile(session, [QUEUE], [])
        await self.send("job")
        assert await late.receive(session, [QUEUE], 1, wait=0) == []
        await self.take_one(session, "job")

    async def test_a_receive_that_comes_after_a_later_one_is_refused(self) -> None:
        await self.send("1", "2", "3")
        session = await self.open()
        late = self.client()
        await self.take_one(session, "1")
        await self.take_one(session, "2")
        assert await late.receive(session, [QUEUE], 1, wait=0) == []
        await self.take_one(session, "3")
