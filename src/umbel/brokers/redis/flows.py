"""`FlowStore` on Redis. What each verb does is in `engines.redis_flows`; joins are in `packing` and the settle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from umbel.brokers.redis import outbox
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.operations import Steps, named
from umbel.brokers.redis.window import MAX_KEPT_BYTES, Acknowledged
from umbel.engines import redis_flows
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_flows import Begin, Started
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
        started = Started(self._known, MAX_KEPT_BYTES)
        steps = started_flow(self._calls, Begin(flow, jobs, inputs), started)
        drive(named(self._calls, [flow.home], steps), self._engine.call)
        self._note(started)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        started = Started(self._known, MAX_KEPT_BYTES)
        steps = started_flow(self._calls, Begin(flow, jobs, inputs), started)
        await adrive(named(self._calls, [flow.home], steps), self._engine.acall)
        self._note(started)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What the nodes of *pages* were brought, in one round trip."""
        return await adrive(redis_flows.inputs(self._calls, pages), self._engine.acall)

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        return drive(redis_flows.inputs(self._calls, pages), self._engine.call)

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes, as of one moment."""
        return drive(redis_flows.find(self._calls, flow, home), self._engine.call)

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return await adrive(redis_flows.find(self._calls, flow, home), self._engine.acall)

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows of the queues *homes*."""
        return drive(redis_flows.newest(self._calls, homes, limit), self._engine.call)

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return await adrive(redis_flows.newest(self._calls, homes, limit), self._engine.acall)

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; answers whether it was running."""
        return drive(redis_flows.revoke(self._calls, flow, home), self._engine.call)

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return await adrive(redis_flows.revoke(self._calls, flow, home), self._engine.acall)

    def _note(self, started: Started) -> None:
        self._known.update(started.known)
        self._acknowledged.commanded(started.commands, started.size)


def started_flow(calls: Calls, begin: Begin, started: Started) -> Steps[None]:
    """Start a flow; in a Cluster its first jobs go on to the nodes of their queues."""
    yield from redis_flows.start(calls, begin, started)
    if calls.clustered:
        yield from outbox.flushed(calls, [begin.flow.home])
