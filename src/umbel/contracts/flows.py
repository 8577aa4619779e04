"""FlowStore: the power of a broker to hold flows. A broker that has it is a `FlowHolder`; see `umbel.model.flow`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from umbel.model.flow import Flow, FlowView, Join, Page, Standing
from umbel.model.job import Job


class FlowStore(Protocol):
    """The verbs of flows. Joins are not among them: they are carried by `Settlement.joins`, in the settle's own step.

    A join counts once for a (node, member), whatever is repeated; a join of an unknown flow or node does nothing. The
    join that completes a node opens it in the same atomic step: its jobs are sent, at most 256 at once; `receive` and
    `reclaim`, which counts them as promoted, send the rest, in order. A flow that has ended is counted on as before and
    forgotten after its *ttl*.
    """

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store *flow* with the jobs of each node, (node, job), in batches, then open node 0 in one atomic step.

        *inputs* is what members brought before the start: each counts as joined before the flow is opened. Before that
        step nothing of it exists for anybody, and what was stored expires. A flow started twice is kept once. Nodes
        that wait for no member any more, beside node 0, are opened too. Errors as `Sender.send`.
        """
        ...

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        ...

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What the nodes of *pages* were brought, in one round trip; None for a flow that is unknown.

        Asked by the worker before it runs jobs of those nodes; members that have not joined are left out.
        """
        ...

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`, for clients."""
        ...

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes; *home* None looks in every queue."""
        ...

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        ...

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows of the queues *homes*, without their nodes."""
        ...

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        ...

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow: jobs of it that have not started never will; answers whether it was running."""
        ...

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        ...


@runtime_checkable
class FlowHolder(Protocol):
    """A broker that holds flows."""

    @property
    def flow_store(self) -> FlowStore:
        """The verbs of flows on this engine."""
        ...
