"""A flow on its way into the tables: jobs in rows of up to 32, nodes, and what members brought before. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from umbel.engines.sql_claims import Row
from umbel.engines.sql_outbox import pack
from umbel.model.flow import Flow, Join
from umbel.model.job import Job

MAX_CHUNK: Final = 32
MAX_CHUNK_BYTES: Final = 64 * 1024
MAX_JOBS: Final = 1024
MAX_BYTES: Final = 1024 * 1024


class Part(NamedTuple):
    """Rows of jobs, and of what members brought."""

    chunks: list[dict[str, Any]]
    inputs: list[dict[str, Any]]


class _Filling(msgspec.Struct, gc=False):
    """The jobs of one node: how many rows are full, and the one that is being filled."""

    chunks: int = 0
    jobs: list[Job] = []
    size: int = 0


class _Brought(msgspec.Struct, gc=False):
    """What the members of one node brought before the start."""

    members: set[int] = set()
    failed: int = 0
    first: int | None = None


class Draft:
    """Takes the jobs of *flow* as they come, and then what was brought before its start; *key* is that of its rows.

    It keeps no more of either than the next part carries.
    """

    def __init__(self, flow: Flow, key: int) -> None:
        self._flow = flow
        self._key = key
        self._nodes = {node.key: _Filling() for node in flow.nodes}
        self._brought = {node.key: _Brought() for node in flow.nodes}
        self._part = Part([], [])
        self._count = self._size = 0

    @property
    def full(self) -> bool:
        """Whether it is time to store a part."""
        return self._count >= MAX_JOBS or self._size >= MAX_BYTES

    def add(self, node: int, job: Job) -> None:
        """One more job of *node*."""
        filling = self._nodes[node]
        filling.jobs.append(job)
        filling.size += len(job.envelope)
        self._count += 1
        self._size += len(job.envelope)
        if len(filling.jobs) >= MAX_CHUNK or filling.size >= MAX_CHUNK_BYTES:
            self._close(node, filling)

    def bring(self, join: Join) -> None:
        """What one member brought before the start; the first of a member counts. All jobs are known by now."""
        brought = self._brought.get(join.node)
        if brought is None or join.member in brought.members:
            return
        brought.members.add(join.member)
        if join.failed:
            brought.failed += 1
            brought.first = join.member if brought.first is None else min(brought.first, join.member)
        row = input_row(self._key, join, is_end=self._is_end(join.node))
        self._part.inputs.append(row)
        self._count += 1
        self._size += len(row["value"])

    def taken(self) -> Part:
        """The rows gathered so far, which are forgotten here."""
        for node, filling in self._nodes.items():
            if filling.jobs:
                self._close(node, filling)
        found, self._part = self._part, Part([], [])
        self._count = self._size = 0
        return found

    def nodes(self) -> list[dict[str, Any]]:
        """The rows of the nodes; everything was taken by now."""
        return [self._row(node.key, node.members) for node in self._flow.nodes]

    def flow(self, now: int) -> Row:
        """The row of the flow itself, which is started *now*, unix ms."""
        flow = self._flow
        ends = sum(self._is_end(node.key) for node in flow.nodes)
        return {
            "key": self._key, "id": flow.id, "home": flow.home, "state": "running", "created": now, "ended": None,
            "forget": None, "ttl": max(1, round(flow.ttl * 1000)), "expires": flow.expires, "ends": ends, "bad": 0,
            "plan": flow.plan,
        }  # fmt: skip

    def _row(self, node: int, members: int) -> dict[str, Any]:
        brought = self._brought[node]
        return {
            "flow": self._key, "node": node, "members": members, "joined": len(brought.members),
            "failed": brought.failed, "first": brought.first, "opened": None, "chunks": self._nodes[node].chunks,
        }  # fmt: skip

    def _is_end(self, node: int) -> bool:
        filling = self._nodes[node]
        return not filling.chunks and not filling.jobs

    def _close(self, node: int, filling: _Filling) -> None:
        row = {"flow": self._key, "node": node, "number": filling.chunks, "jobs": pack(filling.jobs)}
        self._part.chunks.append(row)
        filling.chunks += 1
        filling.jobs, filling.size = [], 0


def input_row(key: int, join: Join, *, is_end: bool) -> dict[str, Any]:
    """The row of what a member brought: an end is told values that nobody takes."""
    value = join.value if join.failed or not is_end else b""
    return {"flow": key, "node": join.node, "member": join.member, "failed": join.failed, "value": value}
