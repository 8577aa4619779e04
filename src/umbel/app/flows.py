"""Flows: `app.flows` lists what runs and ran, shows it as a graph, revokes it, retries what failed, and repeats it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import msgspec

from umbel.asking import Source
from umbel.canvas import drawing, plan
from umbel.canvas.boxes import Box, boxes
from umbel.canvas.repeating import Keeper, Repeat, repeat, whole
from umbel.canvas.rerun import Again, Asked, Begin, Find, Read, Rerun, Terms, rerun
from umbel.canvas.seams import Place
from umbel.canvas.send import flow_store
from umbel.canvas.tally import Tally, tally
from umbel.contracts.flows import FlowStore
from umbel.engines.operation import adrive, drive
from umbel.exceptions import FlowError
from umbel.model.flow import FlowState, FlowView, Progress
from umbel.model.ids import flow_of, new_id
from umbel.options import When, moment
from umbel.result import AsyncResult


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

    @property
    def total(self) -> int:
        """How many jobs it has or takes the values of; those that were added while it ran count, too."""
        return self._tally.total

    @property
    def done(self) -> int:
        """How many of them have ended, well or not; known when the flow was asked for alone."""
        return self._tally.done

    @property
    def failed(self) -> int:
        """How many of them have not succeeded."""
        return self._tally.failed

    @property
    def _tally(self) -> Tally:
        return tally(self.jobs, {node.key: node for node in self.nodes})

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


class Restarted:
    """The flow *id*, started from the flow *of*; *jobs* are those that run again, each with the id that it had."""

    def __init__(self, made: Rerun | Repeat, source: Source) -> None:
        """Made by `Flows`."""
        self.id = made.id
        self.of = made.of
        self.jobs: list[Again] = made.jobs
        self._last = made.last
        self._source = source

    @property
    def results(self) -> list[AsyncResult[Any]]:
        """The handles of the jobs that run again and that no other one waits for."""
        return [AsyncResult(job_id, self._source, flow=self.id) for job_id in self._last]

    @property
    def result(self) -> AsyncResult[Any]:
        """The handle of the last of them: of a chain or chord that is the only one."""
        return self.results[-1]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} of {self.of}, {len(self.jobs)} jobs>"


class Retried(Restarted):
    """The flow *id*, which goes on where the flow *of* failed. Its jobs have new ids, for a record never changes.

    *jobs* are those that run again, each with the id that it had; *kept* counts the values that were taken over.
    """

    def __init__(self, made: Rerun, source: Source) -> None:
        """Made by `Flows.retry`."""
        super().__init__(made, source)
        self.kept = made.kept


class Repeated(Restarted):
    """The flow *id*, which is the flow *of* from its first step; *jobs* are all of its jobs, with the ids they had."""


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
        return self._revoked(flow_of(flow), self._store.revoke_flow(flow_of(flow), None))

    async def arevoke(self, flow: str) -> bool:
        """The async twin of `revoke`."""
        return self._revoked(flow_of(flow), await self._store.arevoke_flow(flow_of(flow), None))

    def retry(self, flow: str, *, dry_run: bool = False, expires: When | None = None) -> Retried:
        """Start *flow*, which has failed or was revoked, anew as a flow that goes on where it failed.

        What succeeded does not run again, its values are taken over; all else is sent again at once, with the arguments
        that it had. No job starts after the moment *expires*; what was said of that before does not count. With
        *dry_run* nothing is started. A repeat answers the same flow, while that has not failed; then it is retried.

        Raises `FlowError` when the flow is unknown, runs or has succeeded, and for a job that was too large to be kept.
        """
        store = self._store
        return self._retried(
            drive(rerun(flow, self._terms(dry_run, expires)), lambda asked: self._answer(store, asked))
        )

    async def aretry(self, flow: str, *, dry_run: bool = False, expires: When | None = None) -> Retried:
        """The async twin of `retry`."""
        store = self._store
        steps = rerun(flow, self._terms(dry_run, expires))
        return self._retried(await adrive(steps, lambda asked: self._aanswer(store, asked)))

    def repeat(self, flow: str, history: Keeper, *, dry_run: bool = False, action: str = "") -> Repeated:
        """Start *flow*, which has ended, anew from its first step, as a new flow: all of its jobs run again.

        They have the arguments that *history* recorded them with (`umbel.history.open_history`), start at once, and
        expire no more; of a retry all of the flow is meant that was retried. With *dry_run* nothing is started. What is
        asked twice with the same *action*, the name of one deliberate act, is started once.

        Raises `FlowError` when it runs, or *history* has not all of its jobs as they were sent; and `HistoryError`.
        """
        store = self._store
        _must_have_ended(store.flow(flow_of(flow), None))
        kept = whole(history, flow)
        _must_have_ended(store.flow(kept.id, None))
        made, begin = repeat(kept, action or new_id(), self._terms(False, None))
        if not dry_run:
            store.start(begin.flow, iter(begin.jobs))
            self._begun(begin)
        return Repeated(made, cast("Source", self._host))

    async def arepeat(self, flow: str, history: Keeper, *, dry_run: bool = False, action: str = "") -> Repeated:
        """The async twin of `repeat`; *history* is read in a thread."""
        import asyncio  # a producer without a loop has no use for it

        store = self._store
        _must_have_ended(await store.aflow(flow_of(flow), None))
        kept = await asyncio.to_thread(whole, history, flow)
        _must_have_ended(await store.aflow(kept.id, None))
        made, begin = await asyncio.to_thread(repeat, kept, action or new_id(), self._terms(False, None))
        if not dry_run:
            await store.astart(begin.flow, iter(begin.jobs))
            self._begun(begin)
        return Repeated(made, cast("Source", self._host))

    def _begun(self, begin: Begin) -> None:
        self._started(begin)
        if self._host.teller is not None:
            self._host.teller.sent([job for node, job in begin.jobs if not node])

    def _revoked(self, flow: str, now: bool) -> bool:
        if now and self._host.teller is not None:
            self._host.teller.ended_flow(flow, "", "revoked")
        return now

    def _retried(self, made: Rerun) -> Retried:
        return Retried(made, cast("Source", self._host))

    def _answer(self, store: FlowStore, asked: Asked) -> Any:
        match asked:
            case Find():
                return store.flow(asked.flow, asked.home)
            case Read():
                return store.read_inputs(asked.pages)
            case _:
                store.start(asked.flow, iter(asked.jobs), asked.inputs)
                return self._started(asked)

    async def _aanswer(self, store: FlowStore, asked: Asked) -> Any:
        match asked:
            case Find():
                return await store.aflow(asked.flow, asked.home)
            case Read():
                return await store.inputs(asked.pages)
            case _:
                await store.astart(asked.flow, iter(asked.jobs), asked.inputs)
                return self._started(asked)

    def _started(self, begun: Begin) -> None:
        if self._host.teller is not None:
            self._host.teller.started_flow(begun.flow, len(begun.jobs), None)

    def _terms(self, dry: bool, expires: When | None) -> Terms:
        now = time.time()
        last = None if expires is None else moment(expires, "expires", now)
        return Terms(now, self._host.conf.result_expires, last, dry)

    @property
    def _store(self) -> FlowStore:
        return flow_store(self._host)

    def _queues(self, queues: Sequence[str]) -> Sequence[str]:
        return tuple(queues) or self._host.conf.usual_queues


def _must_have_ended(view: FlowView | None) -> None:
    if view is not None and view.ended is None:
        raise FlowError(f"flow {view.id} has not ended: only one that has is repeated")


def _info(view: FlowView) -> FlowInfo:
    return FlowInfo(view.id, view.home, view.state, view.created, view.ended, plan.decode(view.plan), list(view.nodes))
