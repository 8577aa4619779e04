"""Flows: `app.flows` lists what runs and ran, shows it as a graph, and revokes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from umbel.canvas import drawing, plan
from umbel.canvas.boxes import Box, boxes
from umbel.canvas.seams import Place
from umbel.canvas.send import flow_store
from umbel.contracts.flows import FlowStore
from umbel.model.flow import FlowState, FlowView, Progress
from umbel.model.ids import flow_of


class FlowInfo(msgspec.Struct, frozen=True):
    """A flow: unix times; *jobs* and *nodes* are its graph and how far it has come, if it was asked for alone."""

    id: str
    queue: str
    state: FlowState
    created: float
    ended: float | None
    jobs: list[plan.Kind]
    nodes: list[Progress]

    @property
    def boxes(self) -> list[Box]:
        """The graph: jobs that differ in nothing but their number are one box, which tells how far they have come."""
        return boxes(self.jobs, {node.key: node for node in self.nodes})

    def text(self) -> str:
        """The graph as text: a line for each box, with the numbers of those that it waits for."""
        return drawing.text(self.boxes)

    def mermaid(self) -> str:
        """The graph in Mermaid's language."""
        return drawing.mermaid(self.boxes)

    def svg(self) -> str:
        """The graph as an SVG document."""
        return drawing.svg(self.boxes)


Found: TypeAlias = list[FlowInfo]


class Flows:
    """The flows of the app's broker. A job's id will do for the flow's, unless it was given one of its own.

    All raise `ImproperlyConfigured` when the broker holds no flows.
    """

    def __init__(self, host: Place) -> None:
        """Ask the broker of *host*."""
        self._host = host

    def list(self, queues: Sequence[str] = (), limit: int = 100) -> Found:
        """The newest flows whose state is kept with *queues*, by default the app's default queue."""
        return [_info(view) for view in self._store.flows(self._queues(queues), limit)]

    async def alist(self, queues: Sequence[str] = (), limit: int = 100) -> Found:
        """The async twin of `list`."""
        return [_info(view) for view in await self._store.aflows(self._queues(queues), limit)]

    def get(self, flow: str) -> FlowInfo | None:
        """One flow with its nodes; None if it is unknown or was forgotten."""
        view = self._store.flow(flow_of(flow), None)
        return None if view is None else _info(view)

    async def aget(self, flow: str) -> FlowInfo | None:
        """The async twin of `get`."""
        view = await self._store.aflow(flow_of(flow), None)
        return None if view is None else _info(view)

    def revoke(self, flow: str) -> bool:
        """Let no job of *flow* start any more; tells whether it was running. What runs already runs to its end."""
        return self._store.revoke_flow(flow_of(flow), None)

    async def arevoke(self, flow: str) -> bool:
        """The async twin of `revoke`."""
        return await self._store.arevoke_flow(flow_of(flow), None)

    @property
    def _store(self) -> FlowStore:
        return flow_store(self._host)

    def _queues(self, queues: Sequence[str]) -> Sequence[str]:
        return tuple(queues) or (self._host.conf.task_default_queue,)


def _info(view: FlowView) -> FlowInfo:
    return FlowInfo(view.id, view.home, view.state, view.created, view.ended, plan.decode(view.plan), list(view.nodes))
