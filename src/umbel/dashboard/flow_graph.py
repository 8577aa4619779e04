"""Flow graph: the nodes of a flow as a page shows them: the engine's, or else what the history has of its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from umbel.app.flows import FlowInfo
from umbel.canvas.boxes import Box
from umbel.canvas.drawing import Drawing, drawn
from umbel.canvas.tally import tally
from umbel.dashboard.filters import narrowed
from umbel.history.views import JobRow

MAX_DRAWN: Final = 1_000
"""A graph of more nodes than this is not drawn; the list shows the first of them."""
ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "expired", "dead"})
FAILED: Final = ENDED - {"succeeded"}


class Node(msgspec.Struct, frozen=True):
    """*count* jobs of one *task*. So many have *ended* and *failed*, None where others are counted with them.

    *state* is waiting, running, succeeded, failed, ended, or empty if it is not known. *after* are the places, in the
    list of nodes, of those that it waits for. *filter* finds its jobs, *job* is the only one, if the history has it.
    """

    task: str
    count: int
    state: str
    ended: int | None
    failed: int | None
    after: tuple[int, ...]
    filter: str
    job: str | None


class Counted(msgspec.Struct, frozen=True):
    """What the engine knows of a flow, and how far it has come: see `FlowInfo`."""

    info: FlowInfo
    total: int
    done: int
    failed: int


class Graph(Counted, frozen=True):
    """The same with its *boxes*. There is no *drawing* of a flow that is too large."""

    boxes: tuple[Box, ...]
    drawing: Drawing | None


def counted(info: FlowInfo) -> Counted:
    """*info* with its counts; of a flow of 10,000 different steps that takes a tenth of a second."""
    return Counted(info, *tally(info.jobs, {node.key: node for node in info.nodes}))


def graph_of(info: FlowInfo) -> Graph:
    """*info* with its graph; of a flow of 10,000 different steps that takes half a second."""
    boxes = info.boxes
    drawing = drawn(boxes) if boxes and len(boxes) <= MAX_DRAWN else None
    it = counted(info)
    return Graph(info, it.total, it.done, it.failed, tuple(boxes[:MAX_DRAWN]), drawing)


def nodes_of(graph: Graph, jobs: Iterable[JobRow]) -> tuple[Node, ...]:
    """The nodes of *graph*; *jobs* are those of the flow that the history shows."""
    of_task: dict[str, list[JobRow]] = {}
    for job in jobs:
        of_task.setdefault(job.task, []).append(job)
    alike = Counter(box.task for box in graph.boxes)
    found: list[Node] = []
    for box in graph.boxes:
        own = of_task.get(box.task, [])
        only = own[0].id if box.count == alike[box.task] == len(own) == 1 else None
        counts = (box.count, box.state, box.ended, box.failed)
        found.append(Node(box.task, *counts, box.after, _filter(graph.info.id, box.task), only))
    return tuple(found)


def nodes_of_jobs(flow: str, jobs: Sequence[JobRow]) -> tuple[Node, ...]:
    """A node for each task of *jobs*: who waited for whom is not known any more."""
    of_task: dict[str, list[JobRow]] = {}
    for job in reversed(jobs):
        of_task.setdefault(job.task, []).append(job)
    return tuple(_of_jobs(flow, task, own) for task, own in of_task.items())


def _of_jobs(flow: str, task: str, jobs: Sequence[JobRow]) -> Node:
    ended = sum(job.state in ENDED for job in jobs)
    failed = sum(job.state in FAILED for job in jobs)
    state = "running" if ended < len(jobs) else "failed" if failed else "succeeded"
    return Node(task, len(jobs), state, ended, failed, (), _filter(flow, task), jobs[0].id if len(jobs) == 1 else None)


def _filter(flow: str, task: str) -> str:
    return narrowed(narrowed("", "flow", flow), "task", task)
