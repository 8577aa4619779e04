"""The pages of flows: those that run and ran, and one as a graph.

The engine is the truth about a flow while it knows it; what it has forgotten is shown as the history knows it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec

from umbel.app.flows import FlowInfo
from umbel.app.seat import inspector
from umbel.canvas.drawing import Drawing
from umbel.canvas.rerun import Again, next_id
from umbel.dashboard.engine import ask
from umbel.dashboard.flow_graph import ENDED, FAILED, Counted, Graph, Node, counted, graph_of, nodes_of, nodes_of_jobs
from umbel.dashboard.page import Missing, Page, Refused
from umbel.dashboard.pages.jobs import masked
from umbel.dashboard.visit import Visit
from umbel.exceptions import FlowError
from umbel.history.views import FlowView, JobRow
from umbel.model.ids import flow_of

PAGE_ROWS: Final = 50
ENGINE_FLOWS: Final = 100
"""How many of its newest flows the engine is asked for."""
COUNTED: Final = 20
"""Of how many running flows the engine is asked how far they have come."""
FRESH_SECONDS: Final = 0.9
SHOWN_JOBS: Final = 200
SHOWN_AGAIN: Final = 100
SHOWN_TASKS: Final = 4
MAX_MOMENT: Final = 1e11
"""Unix seconds; later than any flow."""


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow. *done* of *total* jobs have ended, *failed* of those not well; None where nobody has counted.

    *tasks* are the names of the first of its tasks. *known* tells whether the engine still knows it; if not, there are
    none, and *state* is what the history heard last.
    """

    id: str
    tasks: tuple[str, ...]
    queue: str
    state: str
    started: float | None
    ended: float | None
    total: int | None
    done: int | None
    failed: int | None
    known: bool


class FlowsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flows of one *state*, or of any; *before* is the ``older`` of the page above."""

    state: Literal["", "running", "succeeded", "failed", "revoked"] = ""
    before: Annotated[str, msgspec.Meta(max_length=300)] = ""

    def place(self) -> dict[str, Any]:
        """What the history is asked for besides. Raises `Refused`."""
        if not self.before:
            return {}
        seen, _, flow = self.before.partition("/")
        try:
            at = float(seen)
        except ValueError:
            at = -1.0
        if not 0 <= at < MAX_MOMENT:
            raise Refused("before is what older said of the page above.", "before")
        return {"before": (at, flow)}


class Flows(msgspec.Struct, frozen=True):
    """Flows, the newest first; *older* is the ``before`` of the next page. *trouble* says who cannot tell, and why."""

    flows: tuple[FlowRow, ...]
    older: str | None
    trouble: tuple[str, ...] = ()


class FlowAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The flow *id*, or that of a job of it; with *preview* also what a retry would run, with *again* what a repeat."""

    id: Annotated[str, msgspec.Meta(max_length=255)]
    preview: bool = False
    again: bool = False


class Preview(msgspec.Struct, frozen=True):
    """A retry that was not started: *count* jobs would run again, the first 100 of them are *jobs*.

    *kept* values would be taken over. *refused* says why it cannot be retried.
    """

    jobs: tuple[Again, ...] = ()
    count: int = 0
    kept: int = 0
    refused: str = ""


class Runs(msgspec.Struct, frozen=True):
    """*count* jobs of one *task* that would run on *queue*."""

    task: str
    queue: str
    count: int


class Repeating(msgspec.Struct, frozen=True):
    """A repeat of the flow *of* that was not started: all its *count* jobs would run. *refused* says why it cannot."""

    of: str = ""
    jobs: tuple[Runs, ...] = ()
    count: int = 0
    refused: str = ""


class FlowPage(msgspec.Struct, frozen=True, kw_only=True):
    """One flow: its graph, and its newest jobs. *drawing* says where its nodes are drawn; None if there is none.

    *states* counts its jobs as the history knows them. *retried* is the id of the flow that goes on where it failed,
    *repeats* are those that run all of it again, the newest first; *origin* is the flow that it repeats or, if it is
    the *rest* of one, goes on from. *action* is what a repeat takes as its action, so that two clicks are one.
    *trouble* says who cannot tell, and why.
    """

    flow: FlowRow
    nodes: tuple[Node, ...]
    drawing: Drawing | None
    states: dict[str, int]
    jobs: tuple[JobRow, ...]
    retried: str | None
    preview: Preview | None
    repeating: Repeating | None = None
    repeats: tuple[str, ...] = ()
    origin: str | None = None
    rest: bool = False
    action: str = ""
    trouble: tuple[str, ...] = ()


async def show(visit: Visit, asked: FlowsAsked) -> Flows:
    """The flows that are asked for."""
    read = partial(visit.history.flows, state=asked.state, limit=PAGE_ROWS + 1, **asked.place())
    (found, blank), (known, silent) = await asyncio.gather(
        ask(visit, ("flows", asked.state, asked.before), FRESH_SECONDS, lambda: visit.read(read)),
        ask(visit, "flows of the engine", FRESH_SECONDS, lambda: _known(visit)),
    )
    views, known = (found or [])[:PAGE_ROWS], known or {}
    more = len(found or ()) > PAGE_ROWS
    rows = [_row(view.id, view, known.get(view.id)) for view in views]
    if not asked.before:
        # Of what the history has not heard of, what belongs on this page.
        told, oldest = {view.id for view in views}, views[-1].seen if more else 0.0
        rows += [_row(each.id, None, each) for each in known.values() if each.id not in told and each.created >= oldest]
    rows = sorted((row for row in rows if asked.state in ("", row.state)), key=lambda row: -(row.started or 0.0))
    rows_counted = await _counted(visit, rows)
    older = f"{views[-1].seen}/{views[-1].id}" if more else None
    return Flows(rows_counted, older, tuple(each for each in (blank, silent) if each))


async def show_one(visit: Visit, asked: FlowAsked) -> FlowPage:
    """One flow."""
    graph, silent = await _graph(visit, asked.id)
    view, blank = await _view(visit, graph, asked.id)
    if view is None and graph is None:
        raise Missing(" ".join((f"There is no flow {asked.id}.", silent, blank)).strip())
    flow_id = graph.info.id if graph is not None else view.id if view is not None else asked.id
    jobs = () if view is None else view.jobs
    row = _row(flow_id, view, None if graph is None else graph.info)
    if graph is not None:
        row = msgspec.structs.replace(row, total=graph.total, done=graph.done, failed=graph.failed)
    failed = graph is not None and graph.info.ended is not None and graph.info.state != "succeeded"
    kin, origin = (view.repeats, view.origin) if view is not None else ((), None)
    later = next_id(flow_id)
    repeats = tuple(each for each in kin if each != later)
    return FlowPage(
        flow=row,
        nodes=nodes_of_jobs(flow_id, jobs) if graph is None else nodes_of(graph, jobs),
        drawing=None if graph is None else graph.drawing,
        states={} if view is None else view.states,
        jobs=masked(visit, jobs[:SHOWN_JOBS]),
        retried=later if later in kin else await _retried(visit, flow_id) if failed else None,
        preview=await _preview(visit, flow_id) if asked.preview and visit.may("flows.retry") else None,
        repeating=await _repeating(visit, flow_id) if asked.again and visit.may("flows.retry") else None,
        repeats=repeats,
        origin=origin,
        rest=origin is not None and next_id(origin) == flow_id,
        action=" ".join((flow_id, *repeats[:1])),
        trouble=tuple(each for each in (silent, blank) if each),
    )


async def _known(visit: Visit) -> dict[str, FlowInfo]:
    """The newest flows of the engine, by their ids."""
    queues = await inspector(visit.app).queues()
    found = await visit.app.flows.alist(queues, ENGINE_FLOWS)
    return {info.id: info for info in found}


async def _graph(visit: Visit, flow: str) -> tuple[Graph | None, str]:
    async def make() -> Graph | None:
        info = await visit.app.flows.aget(flow)
        return None if info is None else await visit.read(graph_of, info)

    return await ask(visit, ("flow", flow_of(flow)), FRESH_SECONDS, make)


async def _counts(visit: Visit, flow: str) -> Counted | None:
    async def make() -> Counted | None:
        info = await visit.app.flows.aget(flow)
        return None if info is None else await visit.read(counted, info)

    found, _ = await ask(visit, ("counts of a flow", flow), FRESH_SECONDS, make)
    return found


async def _view(visit: Visit, graph: Graph | None, asked: str) -> tuple[FlowView | None, str]:
    """What the history has of the flow of *graph*, or of the one that has the id *asked*, or a job with it."""

    def read() -> FlowView | None:
        if graph is not None:
            return visit.history.flow(graph.info.id)
        return visit.history.flow(asked) or visit.history.flow(flow_of(asked))

    return await ask(visit, ("flow of the history", asked), FRESH_SECONDS, lambda: visit.read(read))


async def _counted(visit: Visit, rows: Sequence[FlowRow]) -> tuple[FlowRow, ...]:
    """*rows* with how far the engine says that those have come that run; the history has its counts from events."""
    running = [row.id for row in rows if row.known and row.state == "running"][:COUNTED]
    found = await asyncio.gather(*(_counts(visit, each) for each in running))
    counts = {it.info.id: it for it in found if it is not None}
    return tuple(
        msgspec.structs.replace(row, total=it.total, done=it.done, failed=it.failed, state=it.info.state)
        if (it := counts.get(row.id)) is not None
        else row
        for row in rows
    )


async def _retried(visit: Visit, flow_id: str) -> str | None:
    found = await _counts(visit, next_id(flow_id))
    return None if found is None else found.info.id


async def _preview(visit: Visit, flow_id: str) -> Preview:
    try:
        found = await visit.app.flows.aretry(flow_id, dry_run=True)
    except FlowError as error:
        return Preview(refused=str(error))
    return Preview(tuple(found.jobs[:SHOWN_AGAIN]), len(found.jobs), found.kept)


async def _repeating(visit: Visit, flow_id: str) -> Repeating:
    try:
        found = await visit.app.flows.arepeat(flow_id, visit.history, dry_run=True)
    except FlowError as error:
        return Repeating(refused=str(error))
    counts = Counter((job.task, job.queue) for job in found.jobs)
    return Repeating(found.of, tuple(Runs(*place, n) for place, n in counts.items())[:SHOWN_AGAIN], len(found.jobs))


def _row(flow_id: str, view: FlowView | None, info: FlowInfo | None) -> FlowRow:
    states = {} if view is None else view.states
    state = info.state if info is not None else view.state if view is not None else "unknown"
    total = (view.total if view is not None else None) or (info.total if info is not None else None)
    recorded = view is not None
    done = sum(n for name, n in states.items() if name in ENDED)
    return FlowRow(
        id=flow_id,
        tasks=() if info is None else tuple(dict.fromkeys(kind.task for kind in info.jobs))[:SHOWN_TASKS],
        queue="" if info is None else info.queue,
        state=state,
        started=info.created if info is not None else view.started if view is not None else None,
        ended=info.ended if info is not None else view.finished if view is not None else None,
        total=total,
        done=total if state == "succeeded" else done if recorded else None,
        failed=sum(n for name, n in states.items() if name in FAILED) if recorded else None,
        known=info is not None,
    )


PAGE: Final = Page(
    path="/flows",
    title="Flows",
    right="jobs.view",
    template="flows.html",
    show=show,
    asks=FlowsAsked,
    section="flows",
    topics=("flows",),
)
ONE: Final = Page(
    path="/flows/{id}",
    within="flows",
    title="Flow",
    right="jobs.view",
    template="flow.html",
    show=show_one,
    asks=FlowAsked,
    topics=("flows",),
)
