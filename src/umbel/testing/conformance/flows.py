"""What an engine guarantees about flows: started whole or not at all, told of, revoked, and forgotten after the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import ClassVar

import pytest

from umbel.contracts.capabilities import Power
from umbel.model.flow import Flow, Input, Join, Node, Page, Standing
from umbel.model.job import Delivery, Job
from umbel.testing.conformance.brought import BroughtConformance
from umbel.testing.conformance.flow_stage import FLOW, FlowStage, a_job, at
from umbel.testing.conformance.joining import JoiningConformance
from umbel.testing.conformance.stage import OTHER, QUEUE, body, ids


class FlowDelayConformance(FlowStage):
    """What a broker guarantees of the jobs of flows that knows due times exactly."""

    power: ClassVar = Power.EXACT_DELAYS

    async def test_the_delay_of_a_job_counts_from_when_its_node_opens(self) -> None:
        flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 1), Node(2, 2)))
        due = self.clock() + 60.0
        jobs = [(0, a_job("a")), (1, a_job("delayed", delay=5.0)), (1, a_job("at", eta=due))]
        await self.flows.astart(flow, jobs)
        await self.advance(30.0)
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1))
        await self.advance(4.75)
        assert await self.take(session) == []
        await self.advance(0.25)
        await self.take_one(session, "delayed")
        await self.advance(24.75)
        assert await self.take(session) == []
        await self.advance(0.25)
        await self.take_one(session, "at")

    async def test_a_node_tells_for_how_long_it_has_been_open_as_the_engine_sees_it(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        session = await self.open()
        first = await self.take_one(session, "a")
        assert (await self.standing(1)).age is None
        await self.advance(20.0)
        await self.join(session, first, at(1))
        assert 0.0 <= await self.age(1) < 20.0 <= await self.age(0)
        await self.advance(30.0)
        assert 30.0 <= await self.age(1) < 50.0 <= await self.age(0)


class HeldFlowConformance(JoiningConformance, BroughtConformance):
    """What every broker guarantees that holds flows."""

    power: ClassVar = Power.FLOWS

    async def test_whoever_has_settled_the_last_job_of_a_flow_is_told_that_it_has_ended(self) -> None:
        await self.start({0: ["a"], 2: ["b"]}, {1: 1, 2: 1})
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(2))
        assert (await self.standing(0, count=0)).state == "running"
        await self.join(session, await self.take_one(session, "b"), at(1))
        assert (await self.standing(0, count=0)).state == "succeeded"

    # --- the start

    async def test_the_jobs_of_the_start_are_ready_at_once_and_no_others(self) -> None:
        await self.start({0: ["a", "b"], 1: ["c"]}, {1: 2, 2: 1})
        received = await self.take(await self.open())
        assert ids(received) == ["a", "b"]
        assert received[0].envelope == body("a")

    async def test_the_sync_start_is_the_same(self) -> None:
        self.flows.start(Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 1))), [(0, a_job("a"))])
        assert ids(await self.take(await self.open())) == ["a"]
        found = self.flows.flow(FLOW, QUEUE)
        assert found is not None
        pages = [Page(FLOW, QUEUE, 1, -1, 9), Page("unknown", QUEUE, 1)]
        (standing, unknown) = self.flows.read_inputs(pages)
        assert (standing, unknown) == (Standing("running", None, None, []), None)
        assert [each.id for each in self.flows.flows([QUEUE], 10)] == [FLOW]
        assert self.flows.revoke_flow(FLOW, None)

    async def test_a_flow_that_is_started_twice_is_kept_once(self) -> None:
        session = await self.open()
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        await self.join(session, await self.take_one(session, "a"), at(1))
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        await self.take_one(session, "b")
        assert await self.take(session) == []
        assert (await self.standing(1)).inputs == [Input(0, b"value", False)]

    async def test_nothing_of_a_start_that_breaks_off_is_seen_and_it_may_be_repeated(self) -> None:
        flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 3000)))
        jobs = [(0, a_job(f"{number:04}")) for number in range(3000)]

        def broken() -> Iterator[tuple[int, Job]]:
            yield from jobs[:1500]
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await self.flows.astart(flow, broken())
        assert await self.flows.aflow(FLOW, QUEUE) is None
        assert await self.flows.aflows([QUEUE], 10) == []
        assert await self.flows.inputs([Page(FLOW, QUEUE, 1, -1, 10)]) == [None]
        assert not await self.flows.arevoke_flow(FLOW, QUEUE)
        session = await self.open()
        assert await self.take(session) == []
        await self.reclaim()
        assert await self.take(session) == []
        await self.flows.astart(flow, iter(jobs))
        assert ids(await self.every(session)) == [job.id for _, job in jobs]

    async def test_a_start_that_nobody_repeats_is_forgotten(self) -> None:
        def broken() -> Iterator[tuple[int, Job]]:
            yield from ((0, a_job(f"{number:04}")) for number in range(3000))
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await self.flows.astart(Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 3000))), broken())
        await self.advance(7 * 86_400.0)
        await self.reclaim()
        await self.start({0: ["a"]}, {1: 1})
        assert ids(await self.every(await self.open())) == ["a"]

    async def test_a_node_that_waits_for_nobody_opens_with_the_start(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 0, 2: 2})
        assert sorted(ids(await self.take(await self.open()))) == ["a", "b"]

    async def test_a_flow_without_any_job_has_ended_when_it_is_started(self) -> None:
        await self.start({}, {})
        assert await self.state() == "succeeded"

    # --- what is told

    async def test_inputs_come_in_pages_in_order(self) -> None:
        await self.start({0: ["a", "b", "c"], 1: ["body"]}, {1: 4, 2: 1})
        session = await self.open()
        for number, each in enumerate(await self.take(session)):
            await self.join(session, each, at(1, 3 - number, b"%d" % (3 - number)))
        assert [each.member for each in (await self.standing(1)).inputs] == [1, 2, 3]
        assert [each.member for each in (await self.standing(1, count=2)).inputs] == [1, 2]
        assert [each.value for each in (await self.standing(1, 2, 2)).inputs] == [b"3"]
        assert (await self.standing(1, 3)).inputs == []

    async def test_several_nodes_are_asked_about_at_once(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1}, expires=self.clock() + 50.0)
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1))
        pages = [Page(FLOW, QUEUE, 1, -1, 9), Page("unknown", QUEUE, 1, -1, 9), Page(FLOW, QUEUE, 0)]
        first, unknown, zero = await self.flows.inputs(pages)
        assert unknown is None
        assert (first, zero) == (
            Standing("running", self.clock() + 50.0, None, [Input(0, b"value", False)], first.age if first else None),
            Standing("running", self.clock() + 50.0, None, [], zero.age if zero else None),
        )

    async def test_a_flow_shows_its_plan_and_how_far_its_nodes_are(self) -> None:
        await self.start({0: ["a", "b"], 1: ["body"]}, {1: 2, 2: 1}, plan=b"\x00plan")
        session = await self.open()
        first, _ = await self.take(session)
        await self.join(session, first, at(1, failed=True))
        found = await self.flows.aflow(FLOW, None)
        assert found is not None
        assert (found.id, found.home, found.state, found.ended) == (FLOW, QUEUE, "running", None)
        assert found.plan == b"\x00plan"
        assert [(each.key, each.members, each.joined, each.failed, each.sent) for each in found.nodes] == [
            (0, 0, 0, 0, True),
            (1, 2, 1, 1, False),
            (2, 1, 0, 0, False),
        ]
        assert await self.flows.aflow(FLOW, OTHER) is None
        assert await self.flows.aflow("unknown", None) is None

    async def test_the_newest_flows_of_some_queues_are_listed(self) -> None:
        for number, home in enumerate((QUEUE, OTHER, QUEUE)):
            await self.start({0: [f"job {number}"]}, {1: 1}, id=f"flow {number}", home=home)
            await self.advance(1.0)
        assert [each.id for each in await self.flows.aflows([QUEUE], 10)] == ["flow 2", "flow 0"]
        assert [each.id for each in await self.flows.aflows([QUEUE, OTHER], 2)] == ["flow 2", "flow 1"]
        assert await self.flows.aflows(["nowhere"], 10) == []

    async def test_hostile_names_of_flows_are_only_names(self) -> None:
        for name in ("'; drop table flow; --", "{x}:jobs *", "täsk ☃", "x" * 255):
            flow = Flow(name, QUEUE, (Node(0, 0), Node(1, 1)))
            job_id = f"job of {name}"[:255]
            await self.flows.astart(flow, [(0, a_job(job_id))])
            session = await self.open()
            delivery = await self.take_one(session, job_id)
            await self.join(session, delivery, Join(name, QUEUE, 1, 0, b"\x00value"))
            found = await self.flows.aflow(name, QUEUE)
            assert found is not None
            assert found.state == "succeeded"

    # --- revoked, over, and forgotten

    async def test_a_revoked_flow_stays_revoked_and_goes_on_counting(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        assert await self.flows.arevoke_flow(FLOW, None)
        assert not await self.flows.arevoke_flow(FLOW, QUEUE)
        assert (await self.standing(0, count=0)).state == "revoked"
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1, failed=True))
        await self.join(session, await self.take_one(session, "b"), at(2, failed=True))
        found = await self.flows.aflow(FLOW, QUEUE)
        assert found is not None
        assert found.state == "revoked"
        assert found.ended is not None
        assert not await self.flows.arevoke_flow("unknown", None)

    async def test_a_flow_that_has_ended_cannot_be_revoked(self) -> None:
        await self.start({0: ["a"]}, {1: 1})
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1))
        assert not await self.flows.arevoke_flow(FLOW, QUEUE)
        assert await self.state() == "succeeded"

    async def test_a_flow_is_forgotten_some_time_after_its_end_and_not_before(self) -> None:
        await self.start({0: ["a"]}, {1: 1}, ttl=100.0)
        session = await self.open()
        await self.advance(1000.0)
        await self.reclaim()
        session = await self.open()
        delivery = (await self.take(session))[0]
        await self.join(session, delivery, at(1))
        found = await self.flows.aflow(FLOW, QUEUE)
        assert found is not None
        assert found.ended == pytest.approx(found.created + 1000.0, abs=1.0)
        await self.advance(99.0)
        await self.reclaim()
        assert await self.state() == "succeeded"
        await self.advance(2.0)
        await self.reclaim()
        assert await self.flows.aflow(FLOW, QUEUE) is None
        assert await self.flows.aflows([QUEUE], 10) == []
        assert await self.flows.inputs([Page(FLOW, QUEUE, 1, -1, 10)]) == [None]

    # --- where and when

    async def test_members_and_body_may_be_in_other_queues_than_the_flow(self) -> None:
        flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1)))
        jobs = [(0, a_job("here")), (0, a_job("there", OTHER)), (1, a_job("body", OTHER, priority=9))]
        await self.flows.astart(flow, jobs)
        session = await self.open(QUEUE, OTHER)
        here = await self.take_one(session, "here")
        (there,) = await self.take(session, queues=[OTHER])
        await self.join(session, here, at(1, 0))
        await self.join(session, there, at(1, 1))
        (following,) = await self.take(session, queues=[OTHER])
        assert (following.id, following.queue, following.level) == ("body", OTHER, 0)

    async def test_a_worker_that_waits_is_woken_by_a_node_that_opens(self) -> None:
        await self.start({0: ["a"], 1: ["b"]}, {1: 1, 2: 1})
        session, other = await self.open(), await self.open()
        delivery = await self.take_one(session, "a")
        waiting = asyncio.ensure_future(self.client_receive(other))
        await asyncio.sleep(0)
        await self.join(session, delivery, at(1))
        assert ids(await waiting) == ["b"]

    async def client_receive(self, session: str) -> list[Delivery]:
        """Receive, waiting, over a client of its own; a receive may answer an empty list early."""
        client = self.client()
        async with asyncio.timeout(60):
            while True:
                found = await client.receive(session, [QUEUE], 1, wait=20)
                if found:
                    return found


class FlowConformance(HeldFlowConformance, FlowDelayConformance):
    """All that a broker can guarantee of flows. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.FLOWS
