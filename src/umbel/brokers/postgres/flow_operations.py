"""What the verbs of flows do, as generators of transactions, and what flows add to a settle. No I/O here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

from umbel.brokers.postgres import flow_packing, packing
from umbel.brokers.postgres.flow_packing import MAX_CHUNK, Brought, Draft
from umbel.contracts.broker import Settlement
from umbel.engines.operation import Operation
from umbel.engines.postgres_command import Command, Query, Statements
from umbel.engines.postgres_values import key, name, plain, texts
from umbel.exceptions import BrokerError
from umbel.model.flow import Flow, FlowView, Join, Page, Standing
from umbel.model.ids import new_id
from umbel.model.job import Job

T = TypeVar("T")
Steps: TypeAlias = Operation[Command, T]

MAX_OPENED: Final = 256
"""How many jobs of a node are sent in the step that opens it."""
UNFINISHED_SECONDS: Final = 3600.0
MAX_FORGOTTEN: Final = 5000
MAX_CLEARED: Final = 20
SQL: Final = Statements("umbel.brokers.postgres.queries", "flows")
_CHUNKS_AT_ONCE: Final = str(MAX_OPENED // MAX_CHUNK)


def start(
    flow: Flow,
    jobs: Iterable[tuple[int, Job]],
    naming: Callable[[Collection[str]], Command],
    now: str | None,
    inputs: Iterable[Join] = (),
) -> Steps[Counter[str]]:
    """Store *flow*, its *jobs* and *inputs* in parts, then open it; answers how many to wake in which queue.

    *naming* answers what keeps names of queues, if some are new.
    """
    draft, mark = Draft(flow), new_id()
    for number, job in jobs:
        draft.add(number, job)
        if draft.full:
            yield [_kept(mark, now), SQL("flows.store", mark, *draft.taken())]
    last = draft.taken()
    brought = yield from _bring(flow, draft, mark, now, inputs)
    queues = naming({flow.home, *draft.queues})
    *_, begun, rung = yield [
        *queues,
        _kept(mark, now),
        SQL("flows.store", mark, *last),
        *_beginning(flow, draft, mark, now, brought),
    ]
    if not begun:
        raise BrokerError(f"flow {flow.id} took more than an hour to store and is not started: start it again")
    return Counter(dict(rung))


def _kept(mark: str, now: str | None) -> Query:
    return SQL("flows.draft", mark, str(UNFINISHED_SECONDS), now)


def _bring(flow: Flow, draft: Draft, mark: str, now: str | None, inputs: Iterable[Join]) -> Steps[Brought | None]:
    """Store *inputs* in parts, under ids that the nodes will have; None if there are none."""
    brought: Brought | None = None
    for join in inputs:
        if brought is None:
            (((ids,),),) = yield [SQL("flows.allot", mark, str(UNFINISHED_SECONDS), now, str(len(flow.nodes)))]
            brought = Brought(dict(zip((node.key for node in flow.nodes), ids, strict=True)), draft.ends)
        brought.add(join)
        if brought.full:
            yield [_kept(mark, now), SQL("flows.bring", mark, *brought.taken())]
    if brought is not None:
        yield [_kept(mark, now), SQL("flows.bring", mark, *brought.taken())]
    return brought


def _beginning(flow: Flow, draft: Draft, mark: str, now: str | None, brought: Brought | None) -> list[Query]:
    identity = key(flow.id)
    chunks = draft.chunks
    expires = None if flow.expires is None else str(flow.expires)
    ids, fed = (None, set[int]()) if brought is None else (plain(brought.ids.values()), brought.nodes)
    roots = [node.key for node in flow.nodes if node.members <= 0 or node.key in fed]
    facts = flow.home, str(chunks.count(0)), flow.plan, str(flow.ttl), expires, str(sum(chunks)), now, ids
    nodes = plain(node.key for node in flow.nodes), plain(node.members for node in flow.nodes), plain(chunks)
    return [
        SQL("flows.begin", identity, name(flow.id), mark, *facts),
        SQL("flows.nodes", identity, mark, *nodes)
        if ids is None
        else SQL("flows.brought", identity, mark, *nodes, ids),
        SQL("flows.begun", identity, mark),
        SQL("flows.open", plain([identity] * len(roots)), plain(roots), _CHUNKS_AT_ONCE, now),
    ]


def settled(session: str, batch: Sequence[Settlement], command: Command, now: str | None) -> list[Query]:
    """*command*, which settles *batch*, with its joins: the last statement answers how many to wake in which queue."""
    added = flow_packing.added_values(batch)
    return [
        SQL("flows.fence", session, *packing.fences(each.delivery for each in batch)),
        *command,
        *([] if added is None else [SQL("flows.await", *added)]),
        SQL("flows.join", *flow_packing.joins_values(batch)),
        SQL("flows.open", *flow_packing.opening_values(batch), _CHUNKS_AT_ONCE, now),
    ]


def more(limit: int, now: str | None) -> Query:
    """The statement that sends on what open nodes have left, about *limit* jobs; answers queues and how many."""
    return SQL("flows.more", str(limit), now)


def clean(now: str | None) -> list[Query]:
    """The statements that clear starts that nobody went on with and forget flows; the last answers how many inputs."""
    return [SQL("flows.clear", str(MAX_CLEARED), now), SQL("flows.forget", str(MAX_FORGOTTEN), now)]


def inputs(pages: Sequence[Page], now: str | None) -> Steps[list[Standing | None]]:
    """What the nodes of *pages* were brought."""
    if not pages:
        return []
    replies = yield [
        SQL("flows.page", key(page.flow), page.home, str(page.node), str(page.after), str(page.count), now)
        for page in pages
    ]
    return [flow_packing.standing(rows[0]) if rows else None for rows in replies]


def find(flow: str, home: str | None, now: str | None) -> Steps[FlowView | None]:
    """One flow with its nodes; in every queue if *home* is None."""
    (rows,) = yield [SQL("flows.find", key(flow), home or "", now)]
    return flow_packing.view(rows[0]) if rows else None


def newest(homes: Sequence[str], limit: int, now: str | None) -> Steps[list[FlowView]]:
    """The newest flows of *homes*, without their nodes."""
    (rows,) = yield [SQL("flows.newest", texts(homes), str(limit), now)]
    return [flow_packing.view(row) for row in rows]


def revoke(flow: str, home: str | None) -> Steps[bool]:
    """Revoke a running flow; answers whether it was running."""
    (rows,) = yield [SQL("flows.revoke", key(flow), home or "")]
    return bool(rows)
