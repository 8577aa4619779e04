"""One flow in memory: what its nodes wait for and what they were brought. Knows no lock and no clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import msgspec

from umbel.model.flow import Flow, FlowState, FlowView, Input, Progress, Standing
from umbel.model.job import Job


class WaitingNode(msgspec.Struct):
    """A node as its flow keeps it: *jobs* are those not sent yet. *order* are its members' numbers once it is open.

    *opened* is when that was, in unix time.
    """

    members: int
    jobs: deque[Job] = msgspec.field(default_factory=deque)
    inputs: dict[int, Input] = {}
    failed: int = 0
    open: bool = False
    is_end: bool = True
    order: list[int] = []
    opened: float | None = None

    def bring(self, found: Input) -> bool:
        """Count a member's end, once; tells whether the node opens with it."""
        return not self.open and self.note(found) and self.complete()

    def note(self, found: Input) -> bool:
        """Keep a member's end; tells whether it is the first of its member."""
        if found.member in self.inputs:
            return False
        self.inputs[found.member] = found
        self.failed += found.failed
        return True

    def complete(self) -> bool:
        """Open if nothing is waited for any more; tells whether the node opened now."""
        if self.open or len(self.inputs) < self.members:
            return False
        self.open = True
        self.order = sorted(self.inputs)
        return True

    def page(self, after: int, count: int) -> list[Input]:
        """The first *count* inputs in order behind member *after*."""
        order = self.order if self.open else sorted(self.inputs)
        first = bisect_right(order, after)
        return [self.inputs[member] for member in order[first : first + count]]

    def first_failed(self) -> Input | None:
        """The first member in order that failed."""
        if not self.failed:
            return None
        return min((each for each in self.inputs.values() if each.failed), key=lambda each: each.member)


class RunningFlow:
    """A flow that was started. *ends_left* counts its ends that have not opened; *ended* is unix time."""

    def __init__(self, flow: Flow, nodes: dict[int, WaitingNode], created: float) -> None:
        self.id = flow.id
        self.home = flow.home
        self.nodes = nodes
        self.state: FlowState = "running"
        self.ended: float | None = None
        self._flow = flow
        self._created = created
        self._ends_left = sum(node.is_end for node in nodes.values())

    def opened(self, node: WaitingNode, now: float) -> None:
        """Note that *node* has opened: with its last end the flow ends."""
        node.opened = now
        self._ends_left -= node.is_end
        if not self._ends_left and self.ended is None:
            self.ended = now
            if self.state == "running":
                failed = any(each.failed for each in self.nodes.values() if each.is_end)
                self.state = "failed" if failed else "succeeded"

    def is_over(self, now: float) -> bool:
        """Tell whether the flow is to be forgotten."""
        return self.ended is not None and self.ended + self._flow.ttl <= now

    def standing(self, node: WaitingNode, after: int, count: int, now: float) -> Standing:
        """How the flow stands, for the worker that runs a job of *node*."""
        age = None if node.opened is None else max(0.0, now - node.opened)
        return Standing(self.state, self._flow.expires, node.first_failed(), node.page(after, count), age)

    def view(self, *, nodes: bool) -> FlowView:
        """The flow as it is shown."""
        shown = [
            Progress(key, node.members, len(node.inputs), node.failed, node.open) for key, node in self.nodes.items()
        ]
        flow = self._flow
        return FlowView(
            flow.id, flow.home, self.state, self._created, self.ended, flow.plan, tuple(shown) if nodes else ()
        )
