"""`FlowStore` on PostgreSQL. What each verb does is in `flow_operations`; joins are a part of the settle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from umbel.brokers.postgres import flow_operations
from umbel.engines.operation import adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_command import Command
from umbel.model.flow import Flow, FlowView, Join, Page, Standing
from umbel.model.job import Job


class PostgresFlows:
    """The flows of one database. *naming* answers what keeps names of queues, *now* what statements take for now."""

    def __init__(
        self, engine: Engine, bells: Bells, naming: Callable[[Collection[str]], Command], now: Callable[[], str | None]
    ) -> None:
        self._engine = engine
        self._bells = bells
        self._naming = naming
        self._now = now

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store *flow* in parts of 1000 jobs and inputs, then open it in one transaction; raises as `Sender.send`."""
        rung = drive(flow_operations.start(flow, jobs, self._naming, self._now(), inputs), self._engine.call)
        self._bells.ring(rung)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        rung = await adrive(flow_operations.start(flow, jobs, self._naming, self._now(), inputs), self._engine.acall)
        await self._bells.aring(rung)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What the nodes of *pages* were brought, in one round trip."""
        return await adrive(flow_operations.inputs(pages, self._now()), self._engine.acall)

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        return drive(flow_operations.inputs(pages, self._now()), self._engine.call)

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes, as of one moment."""
        return drive(flow_operations.find(flow, home, self._now()), self._engine.call)

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return await adrive(flow_operations.find(flow, home, self._now()), self._engine.acall)

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows of the queues *homes*."""
        return drive(flow_operations.newest(homes, limit, self._now()), self._engine.call)

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return await adrive(flow_operations.newest(homes, limit, self._now()), self._engine.acall)

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; answers whether it was running."""
        return drive(flow_operations.revoke(flow, home), self._engine.call)

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return await adrive(flow_operations.revoke(flow, home), self._engine.acall)
