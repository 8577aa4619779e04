"""`MemoryFlows`: the verbs of flows over a `Space`, and what the broker's own steps do for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from umbel.contracts.broker import Settlement
from umbel.engines.memory import Space
from umbel.engines.memory_flow import RunningFlow, WaitingNode
from umbel.model.flow import Flow, FlowView, Input, Join, Page, Standing
from umbel.model.job import Job

PORTION: Final = 256
"""How many jobs of an opening node are sent in one step."""

_Put: TypeAlias = Callable[[Job, float], None]


class MemoryFlows:
    """The flows of a space; *put* sends a job.

    What is done within the broker's steps is done
    under their lock.
    """

    def __init__(self, space: Space, clock: Callable[[], float], put: _Put) -> None:
        self._space = space
        self._clock = clock
        self._put = put

    # --- the verbs

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store and open a flow; see `FlowStore.start`."""
        nodes = {node.key: WaitingNode(node.members) for node in flow.nodes}
        for key, job in jobs:
            nodes[key].jobs.append(job)
        for join in inputs:
            nodes[join.node].note(Input(join.member, join.value, join.failed))
        for node in nodes.values():
            node.is_end = not node.jobs
        with self._space.lock:
            now = self._clock()
            if self._find(flow.id, None, now) is not None:
                return
            running = self._space.flows[flow.id] = RunningFlow(flow, nodes, now)
            for node in nodes.values():
                if node.complete():
                    self._open(running, node, now)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        self.start(flow, jobs, inputs)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What nodes were brought; see `FlowStore.inputs`."""
        return self.read_inputs(pages)

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        with self._space.lock:
            now = self._clock()
            return [self._standing(page, now) for page in pages]

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes; see `FlowStore.flow`."""
        with self._space.lock:
            found = self._find(flow, home, self._clock())
            return None if found is None else found.view(nodes=True)

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return self.flow(flow, home)

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows; see `FlowStore.flows`."""
        with self._space.lock:
            now = self._clock()
            alive = [each for each in self._space.flows.values() if each.home in homes and not each.is_over(now)]
            return [each.view(nodes=False) for each in alive[: -limit - 1 : -1]]

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return self.flows(homes, limit)

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; see `FlowStore.revoke_flow`."""
        with self._space.lock:
            found = self._find(flow, home, self._clock())
            if found is None or found.state != "running":
                return False
            found.state = "revoked"
            return True

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return self.revoke_flow(flow, home)

    # --- within the broker's steps

    def settled(self, settlement: Settlement, now: float) -> None:
        """Carry out *added* and *joins* of a settlement that was ours."""
        for flow_id, home, key in settlement.added:
            flow = self._find(flow_id, home, now)
            node = None if flow is None else flow.nodes.get(key)
            if node is not None and not node.open:
                node.members += 1
        for join in settlement.joins:
            self._join(join, now)

    def send_opened(self, now: float, limit: int = PORTION) -> int:
        """Send up to *limit* jobs that opening nodes have left, in order; answers how many."""
        opening = self._space.opening
        sent = 0
        while opening and sent < limit:
            sent += self._send(opening[0], limit - sent, now)
            if not opening[0]:
                opening.popleft()
        return sent

    def forget(self, now: float) -> None:
        """Forget the flows that ended long enough ago."""
        for flow_id in [each.id for each in self._space.flows.values() if each.is_over(now)]:
            del self._space.flows[flow_id]

    def _join(self, join: Join, now: float) -> None:
        flow = self._find(join.flow, join.home, now)
        node = None if flow is None else flow.nodes.get(join.node)
        if flow is not None and node is not None and node.bring(Input(join.member, join.value, join.failed)):
            self._open(flow, node, now)

    def _open(self, flow: RunningFlow, node: WaitingNode, now: float) -> None:
        self._send(node.jobs, PORTION, now)
        if node.jobs:
            self._space.opening.append(node.jobs)
        flow.opened(node, now)

    def _send(self, jobs: deque[Job], limit: int, now: float) -> int:
        count = min(limit, len(jobs))
        for _ in range(count):
            self._put(jobs.popleft(), now)
        return count

    def _standing(self, page: Page, now: float) -> Standing | None:
        flow = self._find(page.flow, page.home, now)
        node = None if flow is None else flow.nodes.get(page.node)
        return None if flow is None or node is None else flow.standing(node, page.after, page.count, now)

    def _find(self, flow_id: str, home: str | None, now: float) -> RunningFlow | None:
        found = self._space.flows.get(flow_id)
        return None if found is None or home not in (None, found.home) or found.is_over(now) else found
