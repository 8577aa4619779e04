"""Flows as arrays for statements. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from umbel.brokers.postgres.packing import jobs_values, keys
from umbel.contracts.broker import Settlement
from umbel.engines.postgres_values import Blobs, plain, texts
from umbel.model.flow import Flow, FlowState, FlowView, Input, Join, Progress, Standing
from umbel.model.job import Job

MAX_CHUNK: Final = 32
MAX_CHUNK_BYTES: Final = 64 * 1024
MAX_STORED: Final = 1000
MAX_STORED_BYTES: Final = 4 * 1024 * 1024


class _Filling(msgspec.Struct, gc=False):
    """How many chunks of a node were begun, and what is in the last one."""

    chunks: int = 0
    jobs: int = 0
    size: int = 0


class Draft:
    """Takes the jobs of *flow* as they come and keeps no more of them than the next statement carries."""

    def __init__(self, flow: Flow) -> None:
        self.queues: set[str] = set()
        self._nodes = {node.key: _Filling() for node in flow.nodes}
        self._places: list[tuple[int, int]] = []
        self._jobs: list[Job] = []
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether it is time to store what was gathered so far."""
        return len(self._jobs) >= MAX_STORED or self._size >= MAX_STORED_BYTES

    @property
    def ends(self) -> set[int]:
        """The nodes that have no jobs."""
        return {number for number, node in self._nodes.items() if not node.chunks}

    @property
    def chunks(self) -> list[int]:
        """How many chunks each node has, in the order of the nodes."""
        return [node.chunks for node in self._nodes.values()]

    def add(self, number: int, job: Job) -> None:
        """One more job of node *number*."""
        node = self._nodes[number]
        if not node.chunks or node.jobs >= MAX_CHUNK or node.size >= MAX_CHUNK_BYTES:
            node.chunks += 1
            node.jobs = node.size = 0
        node.jobs += 1
        node.size += len(job.envelope)
        self._size += len(job.envelope)
        self._places.append((number, node.chunks - 1))
        self._jobs.append(job)
        self.queues.add(job.queue)

    def taken(self) -> tuple[object, ...]:
        """The arrays of what was gathered: node, chunk, and those that make jobs; all chunks are closed by it."""
        places, jobs = self._places, self._jobs
        self._places, self._jobs, self._size = [], [], 0
        for node in self._nodes.values():
            node.jobs = MAX_CHUNK
        return plain(node for node, _ in places), plain(chunk for _, chunk in places), *jobs_values(jobs)


class Brought:
    """Takes what members brought to nodes before the start, whose ids are known; gathers as `Draft` does.

    *ends* are the nodes without jobs: nobody takes a value from them.
    """

    def __init__(self, ids: Mapping[int, int], ends: Collection[int]) -> None:
        self.ids = ids
        self.nodes: set[int] = set()
        self._ends = ends
        self._joins: list[Join] = []
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether it is time to store what was gathered so far."""
        return len(self._joins) >= MAX_STORED or self._size >= MAX_STORED_BYTES

    def add(self, join: Join) -> None:
        """One more input."""
        self.nodes.add(join.node)
        self._joins.append(join)
        self._size += len(join.value)

    def taken(self) -> tuple[object, ...]:
        """The arrays of what was gathered: id of the node, member, failed, value."""
        joins, self._joins, self._size = self._joins, [], 0
        return (
            plain(self.ids[each.node] for each in joins),
            plain(each.member for each in joins),
            plain(each.failed for each in joins),
            Blobs(b"" if each.node in self._ends and not each.failed else each.value for each in joins),
        )


def have_joins(settlements: Sequence[Settlement]) -> bool:
    """Whether any of *settlements* ends a member of a flow."""
    return any(each.joins or each.added for each in settlements)


def added_values(settlements: Sequence[Settlement]) -> tuple[object, ...] | None:
    """The arrays of new members: place of the verdict, flow, home, node; None if there are none."""
    added = [(place, *each) for place, settlement in enumerate(settlements, 1) for each in settlement.added]
    if not added:
        return None
    places, flows, homes, nodes = zip(*added, strict=True)
    return plain(places), keys(flows), texts(homes), plain(nodes)


def joins_values(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """The arrays of joins: place of the verdict, flow, home, node, member, failed, value."""
    joins = [(place, each) for place, settlement in enumerate(settlements, 1) for each in settlement.joins]
    return (
        plain(place for place, _ in joins),
        keys(each.flow for _, each in joins),
        texts(each.home for _, each in joins),
        plain(each.node for _, each in joins),
        plain(each.member for _, each in joins),
        plain(each.failed for _, each in joins),
        Blobs(each.value for _, each in joins),
    )


def opening_values(settlements: Sequence[Settlement]) -> tuple[object, ...]:
    """The arrays of nodes that *settlements* may complete: flow, node."""
    nodes = dict.fromkeys((each.flow, each.node) for settlement in settlements for each in settlement.joins)
    return keys(flow for flow, _ in nodes), plain(node for _, node in nodes)


def standing(row: tuple[Any, ...]) -> Standing:
    """What is told of a node, from a row of ``page``."""
    state, expires, age, first, cause, *page = row
    failed = None if first is None else Input(first, cause or b"", failed=True)
    waited = None if age is None else max(0.0, age)
    return Standing(cast("FlowState", state), expires, failed, list(_inputs(*page)), waited)


def view(row: tuple[Any, ...]) -> FlowView:
    """A flow, from a row of ``find`` or ``newest``."""
    name, home, state, created, ended, plan, *nodes = row
    shown = tuple(Progress(*each) for each in zip(*nodes, strict=True)) if nodes else ()
    return FlowView(name, home, state, created, ended, plan, shown)


def _inputs(members: Sequence[int] | None, failed: Sequence[bool], values: Sequence[bytes]) -> Iterator[Input]:
    for member, has_failed, value in zip(members or (), failed or (), values or (), strict=True):
        yield Input(member, value, has_failed)
