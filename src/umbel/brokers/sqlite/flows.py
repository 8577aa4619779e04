"""`SqliteFlows`: the verbs of flows on one file. What joins and nodes add to the broker's own steps is in `nodes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count, islice
from typing import Any, Final

from umbel.brokers.sqlite import nodes
from umbel.brokers.sqlite.nodes import FLOWS, OPENED, OPENING, Stored
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.model.flow import Flow, FlowState, FlowView, Input, Join, Page, Progress, Standing
from umbel.model.job import Job

BATCH: Final = 512
"""How many jobs and inputs of a start are stored in one step: a few ms, so that no writer waits for a large flow."""
_STATES: Final[Mapping[int, FlowState]] = {1: "running", 2: "succeeded", 3: "failed", 4: "revoked"}

_Step = Callable[[Connection], Any]


class SqliteFlows:
    """The flows in one file; *ring* wakes waiters for work, after a commit."""

    def __init__(self, engine: SqliteEngine, clock: Clock, ring: Callable[[Counter[str]], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._ring = ring

    def start(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """Store and open a flow; see `FlowStore.start`."""
        drive(self._starting(flow, jobs, inputs), lambda step: self._engine.call(step, durable=Durability.ANSWERED))

    async def astart(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join] = ()) -> None:
        """The async twin of `start`."""
        await adrive(
            self._starting(flow, jobs, inputs), lambda step: self._engine.submit(step, durable=Durability.ANSWERED)
        )

    def _starting(self, flow: Flow, jobs: Iterable[tuple[int, Job]], inputs: Iterable[Join]) -> Operation[_Step, None]:
        working: set[int] = set()
        stored: Iterator[Stored | Join] = chain(_numbered(jobs, working), inputs)
        batch = list(islice(stored, BATCH))
        while len(batch) == BATCH:
            if not (yield partial(self._store, flow=flow, batch=batch, working=working)):
                return
            batch = list(islice(stored, BATCH))
        rung = yield partial(self._open, flow=flow, batch=batch, working=working)
        self._ring(rung)

    def _store(self, connection: Connection, flow: Flow, batch: Sequence[Stored | Join], working: set[int]) -> bool:
        key = nodes.begin(connection, self._clock, flow)
        if key is not None:
            nodes.store(connection, key, batch, working)
        return key is not None

    def _open(
        self, connection: Connection, flow: Flow, batch: Sequence[Stored | Join], working: set[int]
    ) -> Counter[str]:
        key = nodes.begin(connection, self._clock, flow)
        if key is None:
            return Counter()
        nodes.store(connection, key, batch, working)
        return nodes.open_flow(connection, self._clock, key, flow, working)

    async def inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """What nodes were brought; see `FlowStore.inputs`."""
        now = self._clock.wall()
        return await self._engine.submit_read(lambda connection: [_standing(connection, now, page) for page in pages])

    def read_inputs(self, pages: Sequence[Page]) -> list[Standing | None]:
        """The sync twin of `inputs`."""
        now = self._clock.wall()
        return self._engine.read(lambda connection: [_standing(connection, now, page) for page in pages])

    def flow(self, flow: str, home: str | None) -> FlowView | None:
        """One flow with its nodes; see `FlowStore.flow`."""
        return self._engine.read(lambda connection: _flow(connection, self._clock.wall(), flow, home))

    async def aflow(self, flow: str, home: str | None) -> FlowView | None:
        """The async twin of `flow`."""
        return await self._engine.submit_read(lambda connection: _flow(connection, self._clock.wall(), flow, home))

    def flows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The newest flows; see `FlowStore.flows`."""
        return self._engine.read(lambda connection: _flows(connection, self._clock.wall(), homes, limit))

    async def aflows(self, homes: Sequence[str], limit: int) -> list[FlowView]:
        """The async twin of `flows`."""
        return await self._engine.submit_read(lambda connection: _flows(connection, self._clock.wall(), homes, limit))

    def revoke_flow(self, flow: str, home: str | None) -> bool:
        """Revoke a running flow; see `FlowStore.revoke_flow`."""
        return self._engine.call(lambda connection: _revoke(connection, flow, home))

    async def arevoke_flow(self, flow: str, home: str | None) -> bool:
        """The async twin of `revoke_flow`."""
        return await self._engine.submit(lambda connection: _revoke(connection, flow, home))


def _numbered(jobs: Iterable[tuple[int, Job]], working: set[int]) -> Iterator[Stored]:
    """*jobs* with their places; *working* then holds the nodes that have some."""
    places: dict[int, Iterator[int]] = {}
    for node, job in jobs:
        working.add(node)
        yield Stored(node, next(places.setdefault(node, count())), job)


def _standing(connection: Connection, now: int, page: Page) -> Standing | None:
    row = connection.execute(FLOWS["standing"], (page.flow, page.home, page.node, now)).fetchone()
    if row is None:
        return None
    key, state, expires, failures, opened = row
    first = connection.execute(FLOWS["first_failed"], (key, page.node)).fetchone() if failures else None
    rows = connection.execute(FLOWS["page"], (key, page.node, page.after, page.count)) if page.count else ()
    failed, inputs = None if first is None else _input(first), [_input(each) for each in rows]
    return Standing(
        _STATES[state], expires, failed, inputs, None if opened is None else max(0.0, (now - opened) / 1000)
    )


def _input(row: Sequence[Any]) -> Input:
    member, value, failed = row
    return Input(member, value, bool(failed))


def _flow(connection: Connection, now: int, flow: str, home: str | None) -> FlowView | None:
    row = connection.execute(FLOWS["view"], (flow, home, now)).fetchone()
    if row is None:
        return None
    rows = connection.execute(FLOWS["progress"], (row[0],)).fetchall()
    return _view(row, tuple(_progress(*each) for each in rows))


def _progress(key: int, members: int, joined: int, failed: int, state: int) -> Progress:
    return Progress(key, members, joined, failed, state in (OPENING, OPENED))


def _view(row: Sequence[Any], shown: tuple[Progress, ...] = ()) -> FlowView:
    _, flow, home, state, created, ended, plan = row
    return FlowView(flow, home, _STATES[state], created / 1000, None if ended is None else ended / 1000, plan, shown)


def _flows(connection: Connection, now: int, homes: Sequence[str], limit: int) -> list[FlowView]:
    found = [_view(row) for home in homes for row in connection.execute(FLOWS["list"], (home, now, limit)).fetchall()]
    found.sort(key=lambda each: each.created, reverse=True)
    return found[:limit]


def _revoke(connection: Connection, flow: str, home: str | None) -> bool:
    return connection.execute(FLOWS["revoke"], (flow, home)).fetchone() is not None
