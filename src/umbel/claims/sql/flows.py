"""`SqlFlows`: the verbs of flows in a SQL database. Joins are carried out by the settle, see `opening`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from secrets import randbits
from typing import Any, Final, TypeAlias, TypeVar

from umbel.claims.sql import opening
from umbel.claims.sql.draft import Draft
from umbel.engines import sql_flows
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.sql import Connection, SqlEngine
from umbel.engines.sql_claims import Row
from umbel.engines.threads import Threads
from umbel.model.flow import Flow, FlowView, Input, Join, Page, Progress, Standing
from umbel.model.job import Job

T = TypeVar("T")
Step: TypeAlias = Callable[[Connection], T]

KEY_BITS: Final = 62


class SqlFlows:
    """The flows in the database of *engine*, asked in *threads*; *now* answers unix ms on a connection."""

    def __init__(self, engine: SqlEngine, threads: Threads, now: Callable[[Connection], int]) -> None:
        self._engine = engine
        self._threads = threads
        self._now = now

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store *flow* in parts of about 1000 jobs, then open it in one transaction; see `FlowStore.start`."""
        drive(self._started(flow, jobs, inputs), self._call)

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        await adrive(self._started(flow, jobs, inputs), self._acall)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What the nodes of *pages* were brought; one transaction."""
        return await self._acall(self._paging(pages))

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        return self._call(self._paging(pages))

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes."""
        return self._call(lambda line: _found(line, self._now(line), flow, home))

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return await self._acall(lambda line: _found(line, self._now(line), flow, home))

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows of the queues *homes*."""
        return self._call(lambda line: _newest(line, self._now(line), homes, limit))

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return await self._acall(lambda line: _newest(line, self._now(line), homes, limit))

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; answers whether it was running."""
        return self._call(lambda line: sql_flows.revoke(line, flow, home))

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return await self._acall(lambda line: sql_flows.revoke(line, flow, home))

    def _call(self, step: Step[T]) -> T:
        return self._threads.call(self._engine.run, step)

    async def _acall(self, step: Step[T]) -> T:
        return await self._threads.acall(self._engine.run, step)

    def _paging(self, pages: Sequence[Page]) -> Step[list[Standing | None]]:
        def step(connection: Connection) -> list[Standing | None]:
            now = self._now(connection)
            return [_standing(connection, now, page) for page in pages]

        return step

    def _started(
        self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join]
    ) -> Operation[Step[Any], None]:
        key = randbits(KEY_BITS)
        draft = Draft(flow, key)
        is_first = True
        for _ in _filled(draft, jobs, inputs):
            if draft.full:
                is_first = False
                if not (yield self._storing(flow, key, draft)):
                    return
        part = draft.taken()
        yield lambda line: opening.start(line, self._now(line), draft, part, is_first=is_first)

    def _storing(self, flow: Flow, key: int, draft: Draft) -> Step[bool]:
        part = draft.taken()
        return lambda line: opening.store(line, self._now(line), flow, key, part)


def _filled(draft: Draft, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join]) -> Iterable[None]:
    """Fill *draft*, one thing after the other."""
    for node, job in jobs:
        draft.add(node, job)
        yield
    for join in inputs:
        draft.bring(join)
        yield


def _standing(connection: Connection, now: int, page: Page) -> Standing | None:
    found = sql_flows.standing(connection, page.flow, page.home, page.node, now)
    if found is None:
        return None
    key, state, expires, first, opened = found
    failed = None if first is None else Input(*sql_flows.member(connection, key, page.node, first))
    rows = sql_flows.page(connection, key, page.node, page.after, page.count) if page.count else ()
    age = None if opened is None else max(0.0, (now - opened) / 1000)
    return Standing(state, expires, failed, [Input(*row) for row in rows], age)


def _found(connection: Connection, now: int, flow: str, home: str | None) -> FlowView | None:
    row = sql_flows.find(connection, flow, home, now)
    return None if row is None else _view(row, sql_flows.nodes(connection, row["key"]))


def _newest(connection: Connection, now: int, homes: Sequence[str], limit: int) -> list[FlowView]:
    return [_view(row) for row in sql_flows.newest(connection, homes, limit, now)] if limit > 0 else []


def _view(row: Row, nodes: Sequence[Row] = ()) -> FlowView:
    ended = None if row["ended"] is None else row["ended"] / 1000
    shown = tuple(
        Progress(each["node"], each["members"], each["joined"], each["failed"], each["opened"] is not None)
        for each in nodes
    )
    return FlowView(row["id"], row["home"], row["state"], row["created"] / 1000, ended, bytes(row["plan"]), shown)
