"""A flow on its way into the server: jobs as chunks, nodes as texts, all as fields of its hash. Pure.

A chunk is an array ``(id level at envelope)*`` of jobs of one node for one queue, in the MessagePack that Redis's own
decoder in Lua knows: it has no type for bytes, so they go as the long texts of old, which may hold any. The names of
the fields are told in ``redis_scripts/include/open.lua``.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

import msgspec

from umbel.engines.redis_command import Word
from umbel.engines.redis_jobs import due, milliseconds
from umbel.engines.redis_layout import prefix
from umbel.model.flow import Flow, Join
from umbel.model.job import Job

MAX_CHUNK: Final = 32
MAX_CHUNK_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 512
MAX_BYTES: Final = 512 * 1024
_MAX_OPEN: Final = 2048

_encode: Final = msgspec.msgpack.encode
_ARRAY, _TEXT, _INTEGER = 0xDC, 0xDB, 0xD3
_CHUNK: Final = struct.Struct(">BH")
_ID: Final = struct.Struct(">BI")
_REST: Final = struct.Struct(">BBqBI")


class _Group(msgspec.Struct, gc=False):
    """The jobs of one node for one queue: how many chunks are full, and the one that is being filled."""

    number: int
    chunks: int = 0
    parts: list[bytes] = []
    jobs: int = 0
    size: int = 0


class _Brought(msgspec.Struct, gc=False):
    """What the members of one node brought before the start: who did, how many failed, the first that did."""

    members: set[int] = set()
    failed: int = 0
    first: int = -1


class Draft:
    """Takes the jobs of *flow* as they come, and then what was brought before its start.

    It keeps no more of either than the next call carries.

    *clustered*: jobs for other queues go by the outbox of the flow's home; *carried*: all do.
    """

    def __init__(self, flow: Flow, *, clustered: bool, carried: bool = False) -> None:
        self.fields: list[Word] = []
        self.size = 0
        self._flow = flow
        self._clustered = clustered
        self._carried = carried
        self._groups: dict[int, dict[str, _Group]] = {node.key: {} for node in flow.nodes}
        self._filling: dict[tuple[int, str], _Group] = {}
        self._members = {node.key: node.members for node in flow.nodes}
        self._brought: dict[int, _Brought] = {node.key: _Brought() for node in flow.nodes}
        self._more: list[Word] = []
        self._open = self._open_size = 0

    @property
    def full(self) -> bool:
        """Whether it is time to store the fields gathered so far."""
        return len(self.fields) >= 2 * MAX_FIELDS or self.size >= MAX_BYTES

    @property
    def queues(self) -> Collection[str]:
        """The names of all queues that the flow has met."""
        return {self._flow.home}.union(*self._groups.values())

    def add(self, node: int, job: Job) -> None:
        """One more job of *node*."""
        groups = self._groups[node]
        group = groups.get(job.queue)
        if group is None:
            group = groups[job.queue] = _Group(len(groups))
        if not group.jobs:
            self._filling[node, job.queue] = group
        job_id, envelope = job.id.encode(), job.envelope
        rest = _REST.pack(job.level, _INTEGER, due(job), _TEXT, len(envelope))
        group.parts += (_ID.pack(_TEXT, len(job_id)), job_id, rest, envelope)
        group.jobs += 1
        group.size += len(envelope)
        self._open += 1
        self._open_size += len(envelope)
        if group.jobs >= MAX_CHUNK or group.size >= MAX_CHUNK_BYTES:
            self._close(node, self._filling.pop((node, job.queue)))
        elif self._open >= _MAX_OPEN or self._open_size >= MAX_BYTES:
            self._close_all()

    def bring(self, join: Join) -> None:
        """What one member brought before the start; the first of a member counts. All jobs are known by now."""
        brought = self._brought.get(join.node)
        if brought is None or join.member in brought.members:
            return
        brought.members.add(join.member)
        if join.failed:
            brought.failed += 1
            brought.first = join.member if brought.first < 0 else min(brought.first, join.member)
        value = join.value if join.failed or self._groups[join.node] else b""
        self.fields += (f"{join.node}:{join.member}", (b"0" if join.failed else b"1") + value)
        self.size += len(value)
        if join.member >= self._members[join.node]:
            self._more.append(f"{join.node}:{join.member:016}")

    def more(self) -> list[Word]:
        """Members beyond the first ones gathered so far, as `flow_more` takes them, which are forgotten here."""
        found, self._more = self._more, []
        return found

    def taken(self) -> list[Word]:
        """The fields gathered so far, which are forgotten here."""
        found, self.fields, self.size = self.fields, [], 0
        return found

    def finish(self) -> tuple[list[Word], list[Word]]:
        """The nodes that wait for nobody any more, and all fields that are left."""
        self._close_all()
        flow = self._flow
        ends = 0
        roots: list[Word] = []
        for node in flow.nodes:
            jobs = "".join([self._portion(queue, group) for queue, group in self._groups[node.key].items()])
            brought = self._brought[node.key]
            joined = len(brought.members)
            self.fields += (f"n:{node.key}", f"{node.members} 0 {joined} {brought.failed} {brought.first} 0 {jobs}")
            ends += not jobs
            if node.members <= joined:
                roots.append(node.key)
        facts: dict[str, Word] = {
            "state": "running",
            "ends": ends,
            "bad": 0,
            "ttl": max(1, milliseconds(flow.ttl)),
            "expires": "" if flow.expires is None else repr(flow.expires),
            "plan": flow.plan,
            "keys": _encode([node.key for node in flow.nodes]),
        }
        for field in facts.items():
            self.fields += field
        return roots, self.taken()

    def _portion(self, queue: str, group: _Group) -> str:
        kind, place = ("O", queue) if self._is_apart(queue) else ("J", prefix(queue).decode())
        return f"{kind}{group.chunks}:{len(place)}:{place}"

    def _is_apart(self, queue: str) -> bool:
        return self._carried or (self._clustered and queue != self._flow.home)

    def _close_all(self) -> None:
        for (node, _), group in self._filling.items():
            self._close(node, group)
        self._filling.clear()

    def _close(self, node: int, group: _Group) -> None:
        chunk = b"".join((_CHUNK.pack(_ARRAY, 4 * group.jobs), *group.parts))
        self.fields += (f"j:{node}:{group.number}:{group.chunks}", chunk)
        self.size += len(chunk)
        self._open -= group.jobs
        self._open_size -= group.size
        group.chunks += 1
        group.parts, group.jobs, group.size = [], 0, 0
