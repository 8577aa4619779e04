"""What an engine guarantees of a flow that starts with what some members brought before: they count as joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

import pytest

from umbel.contracts.capabilities import Power
from umbel.model.flow import Flow, Input, Join, Node, Page
from umbel.model.job import Job
from umbel.testing.conformance.flow_stage import FLOW, FlowStage, a_job, at
from umbel.testing.conformance.stage import QUEUE, ids


class BroughtConformance(FlowStage):
    """The inputs of `FlowStore.start`. The hook is ``make(clock)``, see `BrokerStage.make`."""

    power: ClassVar = Power.FLOWS

    async def begin(self, jobs: Iterable[tuple[int, Job]], members: dict[int, int], *inputs: Join) -> None:
        """Start a flow whose nodes wait for *members* and were brought *inputs*."""
        nodes = (Node(0, 0), *(Node(key, count) for key, count in members.items()))
        await self.flows.astart(Flow(FLOW, QUEUE, nodes), jobs, inputs)

    async def test_what_was_brought_before_counts_as_joined(self) -> None:
        jobs = [(0, a_job("a")), (1, a_job("body"))]
        await self.begin(jobs, {1: 3, 2: 1}, at(1, 0, b"zero"), at(1, 2, b"two"))
        session = await self.open()
        delivery = await self.take_one(session, "a")
        assert await self.take(session) == []
        assert (await self.standing(1)).inputs == [Input(0, b"zero", False), Input(2, b"two", False)]
        await self.join(session, delivery, at(1, 1, b"one"))
        await self.take_one(session, "body")
        assert [each.value for each in (await self.standing(1)).inputs] == [b"zero", b"one", b"two"]

    async def test_a_node_whose_members_all_brought_something_opens_with_the_start(self) -> None:
        jobs = [(0, a_job("a")), (1, a_job("body")), (2, a_job("later"))]
        await self.begin(jobs, {1: 2, 2: 2, 3: 1}, at(1, 0), at(1, 1), at(2, 0))
        session = await self.open()
        assert sorted(ids(await self.take(session))) == ["a", "body"]
        found = await self.flows.aflow(FLOW, QUEUE)
        assert found is not None
        assert [(each.key, each.joined, each.sent) for each in found.nodes] == [
            (0, 0, True),
            (1, 2, True),
            (2, 1, False),
            (3, 0, False),
        ]

    async def test_what_failed_before_is_told_as_ever(self) -> None:
        await self.begin([(1, a_job("body"))], {1: 3, 2: 1}, at(1, 2), at(1, 1, b"why", failed=True), at(1, 0))
        await self.take_one(await self.open(), "body")
        standing = await self.standing(1)
        assert standing.failed == Input(1, b"why", True)
        assert [each.member for each in standing.inputs] == [0, 1, 2]

    async def test_an_end_that_was_brought_its_members_ends_the_flow(self) -> None:
        await self.begin([(0, a_job("a"))], {1: 1, 2: 1}, at(2, 0, b"why", failed=True))
        assert await self.state() == "running"
        session = await self.open()
        await self.join(session, await self.take_one(session, "a"), at(1))
        assert await self.state() == "failed"

    async def test_a_flow_that_was_brought_everything_has_ended_when_it_is_started(self) -> None:
        await self.begin([], {1: 2}, at(1, 0), at(1, 1))
        assert await self.state() == "succeeded"

    async def test_what_is_brought_twice_counts_once(self) -> None:
        await self.begin([(0, a_job("a")), (1, a_job("body"))], {1: 2, 2: 1}, at(1, 0, b"first"), at(1, 0, b"second"))
        session = await self.open()
        delivery = await self.take_one(session, "a")
        assert await self.take(session) == []
        await self.join(session, delivery, at(1, 0, b"third"))
        assert await self.take(session) == []
        assert (await self.standing(1)).inputs == [Input(0, b"first", False)]

    async def test_a_flow_that_is_started_twice_is_brought_things_once(self) -> None:
        for _ in range(2):
            await self.begin([(1, a_job("body"))], {1: 1, 2: 1}, at(1))
        assert ids(await self.take(await self.open())) == ["body"]
        assert await self.state() == "running"

    async def test_many_inputs_are_stored_in_batches_and_a_start_that_breaks_off_may_be_repeated(self) -> None:
        count = 1300
        brought = [at(1, number, b"%d" % number) for number in range(count)]
        flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, count), Node(2, 1)))

        def broken() -> Iterator[Join]:
            yield from brought[: count - 1]
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await self.flows.astart(flow, [(1, a_job("body"))], broken())
        assert await self.flows.inputs([Page(FLOW, QUEUE, 1, -1, 10)]) == [None]
        session = await self.open()
        assert await self.take(session) == []
        await self.flows.astart(flow, [(1, a_job("body"))], iter(brought))
        await self.take_one(session, "body")
        assert [each.value for each in (await self.standing(1, count - 3)).inputs] == [b"1298", b"1299"]

    async def test_the_sync_start_is_brought_the_same(self) -> None:
        flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 1), Node(2, 1)))
        self.flows.start(flow, [(1, a_job("body"))], [at(1)])
        await self.take_one(await self.open(), "body")
