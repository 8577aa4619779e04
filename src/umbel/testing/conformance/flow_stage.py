"""What the suites of flows stand on: a flow that is started, members that end, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from umbel.contracts.broker import Settlement
from umbel.contracts.flows import FlowHolder, FlowStore
from umbel.model.flow import Flow, Join, Node, Page, Standing
from umbel.model.job import Delivery, Job
from umbel.testing.conformance.stage import QUEUE, BrokerStage, body

FLOW = "flow"


class FlowStage(BrokerStage):
    """Moves on a broker that holds flows."""

    @property
    def flows(self) -> FlowStore:
        """The flows of the broker under test."""
        assert isinstance(self.broker, FlowHolder)
        return self.broker.flow_store

    async def start(self, jobs: dict[int, Sequence[str]], members: dict[int, int], **fields: Any) -> None:
        """Start a flow: the ids of each node's jobs, and how many members each other node waits for."""
        nodes = (Node(0, 0), *(Node(key, count) for key, count in members.items()))
        flow = Flow(fields.pop("id", FLOW), fields.pop("home", QUEUE), nodes, **fields)
        await self.flows.astart(flow, [(node, a_job(each)) for node, names in jobs.items() for each in names])

    async def join(self, session: str, delivery: Delivery, *joins: Join) -> bool:
        """End *delivery* with *joins*; answers whether it was ours."""
        (ours,) = await self.settle(session, Settlement(delivery, "end", record=b"record", ttl=60.0, joins=joins))
        return ours

    async def standing(self, node: int, after: int = -1, count: int = 1000) -> Standing:
        """What *node* was brought."""
        (found,) = await self.flows.inputs([Page(FLOW, QUEUE, node, after, count)])
        assert found is not None
        return found

    async def age(self, node: int) -> float:
        """For how many seconds *node* has been open."""
        found = (await self.standing(node)).age
        assert found is not None
        return found

    async def every(self, session: str, queues: Sequence[str] = (QUEUE,)) -> list[Delivery]:
        """Receive and end until nothing is left."""
        received: list[Delivery] = []
        while found := await self.take(session, 100, queues):
            received += found
            await self.end(session, *found)
        return received

    async def awaited(self, session: str) -> list[Delivery]:
        """Receive, waiting; an engine may have handed the job to another client that gives it back soon."""
        async with asyncio.timeout(60):
            while True:
                if found := await self.broker.receive(session, [QUEUE], 10, wait=20):
                    return found

    async def state(self) -> str:
        """The state of the flow."""
        found = await self.flows.aflow(FLOW, QUEUE)
        assert found is not None
        return found.state


def a_job(job_id: str, queue: str = QUEUE, **fields: Any) -> Job:
    """A job of a flow; an engine does not look into envelopes."""
    return Job(job_id, queue, body(job_id), **fields)


def member_of(delivery: Delivery) -> Join:
    """The join of a job whose id is its number in node 1; the body, which has another id, ends the flow."""
    return at(1, int(delivery.id), delivery.id.encode()) if delivery.id.isdecimal() else at(2)


def at(node: int, member: int = 0, value: bytes = b"value", *, failed: bool = False) -> Join:
    """A join of the usual flow."""
    return Join(FLOW, QUEUE, node, member, value, failed)
