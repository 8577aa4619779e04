"""What of `FlowStore` is the same wherever flows live on Redis: all but the start. What a verb does: `redis_flows`."""

from __future__ import annotations

from collections.abc import Sequence

from umbel.engines import redis_flows
from umbel.engines.operation import adrive, drive
from umbel.engines.redis_calls import QueueCalls
from umbel.engines.redis_opening import AnyEngine
from umbel.model.flow import FlowView, Page, Standing


class StoredFlows:
    """The flows that *calls* reach over *engine*: looked at and revoked."""

    def __init__(self, calls: QueueCalls, engine: AnyEngine) -> None:
        self._calls = calls
        self._engine = engine

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
