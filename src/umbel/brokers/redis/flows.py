"""`FlowStore` on Redis. What each verb does is in `flow_operations`; joins are in `packing` and the settle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from umbel.brokers.redis import flow_operations
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.flow_operations import Begin, Started
from umbel.brokers.redis.operations import named
from umbel.brokers.redis.window import Acknowledged
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_opening import AnyEngine
from umbel.model.flow import Flow, FlowView, Join, Page, Standing
from umbel.model.job import Job


class RedisFlows:
    """The flows of one database, or of a Cluster: each in the slot of its home."""

    def __init__(self, calls: Calls, engine: AnyEngine, acknowledged: Acknowledged, known: set[str]) -> None:
        self._calls = calls
        self._engine = engine
        self._acknowledged = acknowledged
        self._known = known

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store *flow* in parts of 512 KiB, then open it in one atomic step; raises as `Sender.send`."""
        started = Started(self._known)
        steps = flow_operations.start(self._calls, Begin(flow, jobs, inputs), started)
        drive(named(self._calls, [flow.home], steps), self._engine.call)
        self._note(started)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        started = Started(self._known)
        steps = flow_operations.start(self._calls, Begin(flow, jobs, inputs), started)
        await adrive(named(self._calls, [flow.home], steps), self._engine.acall)
        self._note(started)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What the nodes of *pages* were brought, in one round trip."""
        return await adrive(flow_operations.inputs(self._calls, pages), self._engine.acall)

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        return drive(flow_operations.inputs(self._calls, pages), self._engine.call)

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes, as of one moment."""
        return drive(flow_operations.find(self._calls, flow, home), self._engine.call)

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return await adrive(flow_operations.find(self._calls, flow, home), self._engine.acall)

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows of the queues *homes*."""
        return drive(flow_operations.newest(self._calls, homes, limit), self._engine.call)

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return await adrive(flow_operations.newest(self._calls, homes, limit), self._engine.acall)

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; answers whether it was running."""
        return drive(flow_operations.revoke(self._calls, flow, home), self._engine.call)

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return await adrive(flow_operations.revoke(self._calls, flow, home), self._engine.acall)

    def _note(self, started: Started) -> None:
        self._known.update(started.known)
        self._acknowledged.commanded(started.commands, started.size)
