"""What joins and nodes that open add to the verbs, in their transactions; times are unix milliseconds.

Rows are locked in one order: sessions and jobs, which a settle has by then, nodes, flows, outboxes by their homes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from umbel.claims.sql.draft import MAX_CHUNK, Draft, Part, input_row
from umbel.contracts.claims import Verdict
from umbel.engines import sql_flows, sql_outbox
from umbel.engines.sql import Connection
from umbel.exceptions import BrokerError
from umbel.model.flow import Flow, Join
from umbel.model.job import Job

MAX_OPENED: Final = 256
"""How many jobs of a node are put into the outbox in the step that opens it, at most."""
STORED_MS: Final = 3_600_000
"""How long a part of a start is kept with which nobody goes on."""

_Place = tuple[int, int]


def store(connection: Connection, now: int, flow: Flow, key: int, part: Part) -> bool:
    """Keep a *part* of a flow that is not started yet; answers whether there is more to do."""
    sql_flows.draft(connection, key, flow.home, now + STORED_MS)
    if sql_flows.is_known(connection, flow.id, now):
        sql_flows.drop(connection, key)
        return False
    sql_flows.store(connection, part.chunks, part.inputs)
    return True


def start(connection: Connection, now: int, draft: Draft, part: Part, *, is_first: bool) -> list[str]:
    """Store the last *part* and open what waits for nobody any more; answers the home, if jobs lie there.

    A flow that is there already is kept. Raises `BrokerError` if parts before this one, *is_first*, are not kept.
    """
    flow = draft.flow(now)
    key: int = flow["key"]
    known = sql_flows.begin(connection, flow, now)
    if known != key:
        sql_flows.drop(connection, key)
        return []
    if not is_first and not sql_flows.adopt(connection, key):
        if sql_flows.nodes(connection, key):
            return []  # the answer to this step was lost
        message = f"flow {flow['id']} took more than an hour to store and is not started: start it again"
        raise BrokerError(message)
    nodes = draft.nodes()
    if is_first and sql_flows.nodes(connection, key):
        return []
    sql_flows.store(connection, part.chunks, part.inputs)
    roots = [node for node in nodes if node["members"] <= node["joined"]]
    for node in roots:
        node["opened"] = now
    sql_flows.add_nodes(connection, nodes)
    return _open(connection, now, [(flow["home"], node) for node in roots])


def join(connection: Connection, now: int, verdicts: Sequence[Verdict]) -> list[str]:
    """Count the members that *verdicts* add and end, once each; answers the homes in whose outbox jobs lie now."""
    ids = {each.flow for verdict in verdicts for each in verdict.joins}
    ids |= {flow for verdict in verdicts for flow, _, _ in verdict.added}
    keys = sql_flows.keys(connection, ids)
    added: dict[_Place, int] = {}
    brought: dict[_Place, dict[int, Join]] = {}
    homes: dict[int, str] = {}
    for verdict in verdicts:
        for flow, home, node in verdict.added:
            if (flow, home) in keys:
                place = (keys[flow, home], node)
                added[place] = added.get(place, 0) + 1
        for each in verdict.joins:
            key = keys.get((each.flow, each.home))
            if key is not None:
                homes[key] = each.home
                brought.setdefault((key, each.node), {}).setdefault(each.member, each)
    rows = [row for row in sql_flows.lock(connection, {*added, *brought}) if row["opened"] is None]
    inputs: list[dict[str, Any]] = []
    for row in rows:
        place = (row["flow"], row["node"])
        row["members"] += added.get(place, 0)
        inputs += _count(connection, now, row, brought.get(place, {}))
    sql_flows.store(connection, (), inputs)
    opened = [row for row in rows if row["opened"] is not None]
    sql_flows.count(connection, rows)
    return _open(connection, now, [(homes[row["flow"]], row) for row in opened])


def pump(connection: Connection, now: int, home: str, most: int) -> int:
    """Put about *most* more jobs of the oldest node of *home* that has some left into the outbox, which is locked.

    Answers by how much what waits there has changed.
    """
    found = sql_outbox.opening(connection, home)
    if found is None:
        return 0
    number, key, node = found
    rows, more = sql_flows.next_chunks(connection, key, node, max(1, most // MAX_CHUNK))
    sql_outbox.put(connection, home, [_stamped(row, now) for row in rows])
    if not more:
        sql_outbox.opened(connection, home, number)
    return len(rows) - (not more)


def posted(jobs: Iterable[Job], now: int) -> list[Job]:
    """*jobs* whose delay begins *now*."""
    return [msgspec.structs.replace(job, eta=now / 1000 + job.delay, delay=0.0) if _waits(job) else job for job in jobs]


def _count(connection: Connection, now: int, row: dict[str, Any], joins: dict[int, Join]) -> list[dict[str, Any]]:
    """Count *joins* in the *row* of their node, which opens if none is missing; answers the rows of what is new."""
    if not joins:
        return []
    known = sql_flows.brought(connection, row["flow"], row["node"], joins) if row["joined"] else set[int]()
    fresh = [each for member, each in joins.items() if member not in known]
    failed = [each.member for each in fresh if each.failed]
    row["joined"] += len(fresh)
    row["failed"] += len(failed)
    row["first"] = min((*failed, *(() if row["first"] is None else (row["first"],))), default=None)
    if row["joined"] >= row["members"]:
        row["opened"] = now
    return [input_row(row["flow"], each, is_end=not row["chunks"]) for each in fresh]


def _open(connection: Connection, now: int, nodes: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """What the opening of *nodes*, each with its home, brings about: flows end, jobs are put into outboxes."""
    ends: dict[int, tuple[int, int]] = {}
    working: dict[str, list[dict[str, Any]]] = {}
    for home, row in nodes:
        if row["chunks"]:
            working.setdefault(home, []).append(row)
        else:
            some, bad = ends.get(row["flow"], (0, 0))
            ends[row["flow"]] = (some + 1, bad + (row["failed"] > 0))
    if ends:
        sql_flows.end(connection, ends, now)
    for home, rows in sorted(working.items()):
        _put(connection, now, home, rows)
    return sorted(working)


def _put(connection: Connection, now: int, home: str, rows: Sequence[dict[str, Any]]) -> None:
    numbers: dict[int, list[int]] = {}
    for row in rows:
        numbers.setdefault(row["node"], []).append(row["flow"])
    most = MAX_OPENED // MAX_CHUNK
    jobs: list[bytes] = []
    for node, flows in sorted(numbers.items()):
        for found in sql_flows.first_chunks(connection, flows, node, most).values():
            jobs += (_stamped(each, now) for each in found)
    more = [(row["flow"], row["node"]) for row in rows if row["chunks"] > most]
    sql_outbox.put(connection, home, jobs, more)


def _stamped(row: bytes, now: int) -> bytes:
    jobs = sql_outbox.unpack(row)
    return sql_outbox.pack(posted(jobs, now)) if any(map(_waits, jobs)) else row


def _waits(job: Job) -> bool:
    return job.eta is None and job.delay > 0
