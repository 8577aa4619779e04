"""What flows add to the steps of the broker: joins are counted, nodes are opened, and their jobs are sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from umbel.brokers.sqlite import operations
from umbel.brokers.sqlite.operations import Received, Settled
from umbel.contracts.broker import Settlement
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.engines.statements import statements
from umbel.model.flow import Flow, Join
from umbel.model.job import Job

BUILDING: Final = 0
OPENING: Final = 1
OPENED: Final = 2

PORTION: Final = 256
"""How many jobs of an opening node are sent in one step."""
UNFINISHED_MS: Final = 86_400_000
"""How long the first part of a start that broke off is kept."""
_NO_LIMIT: Final = -1

FLOWS: Final = statements("umbel.brokers.sqlite.queries", "flows.sql")


class Stored(NamedTuple):
    """A job with the key of its node and its place among that node's jobs."""

    node: int
    position: int
    job: Job


# --- the start


def begin(connection: Connection, clock: Clock, flow: Flow) -> int | None:
    """Store *flow* itself, which nobody sees before `open_flow`; answers its key, or None if it was started before."""
    now = clock.wall()
    found = connection.execute(FLOWS["find"], (flow.id, now)).fetchone()
    if found is not None:
        key, state = found
        connection.execute(FLOWS["extend"], (key, now + UNFINISHED_MS))
        return key if state == BUILDING else None
    for (spent,) in connection.execute(FLOWS["spent"], (flow.id,)).fetchall():
        drop(connection, spent, _NO_LIMIT)
    terms = (round(flow.ttl * 1000), flow.expires, flow.plan)
    row = connection.execute(FLOWS["begin"], (flow.id, flow.home, now, now + UNFINISHED_MS, *terms)).fetchone()
    return None if row is None else row[0]


def store(connection: Connection, flow: int, batch: Sequence[Stored | Join], working: Collection[int]) -> None:
    """Keep the jobs of *batch* until their nodes open, and what members brought; *working* are nodes with jobs."""
    connection.executemany(FLOWS["store"], (_stored(flow, each) for each in batch if isinstance(each, Stored)))
    joins = (each for each in batch if isinstance(each, Join))
    rows = [_brought(flow, each, is_end=each.node not in working) for each in joins]
    connection.executemany(FLOWS["bring"], rows).fetchall()


def _brought(flow: int, join: Join, *, is_end: bool) -> tuple[object, ...]:
    return flow, join.node, join.member, int(join.failed), join.value if join.failed or not is_end else b""


def _stored(flow: int, stored: Stored) -> tuple[object, ...]:
    job = stored.job
    return flow, stored.node, stored.position, job.id, job.queue, job.priority, job.delay, job.eta, job.envelope


def open_flow(connection: Connection, clock: Clock, key: int, flow: Flow, working: Collection[int]) -> Counter[str]:
    """Let *flow* exist, and open what waits for nobody; *working* are the nodes that have jobs."""
    ends = sum(node.key not in working for node in flow.nodes)
    rung: Counter[str] = Counter()
    if connection.execute(FLOWS["open"], (key, clock.wall(), ends)).fetchone() is None:
        return rung
    rows = [(key, node.key, node.members, node.key not in working) for node in flow.nodes]
    for node, (complete,) in zip(flow.nodes, connection.executemany(FLOWS["node"], rows).fetchall(), strict=True):
        if complete:
            rung += _open(connection, clock, (key, node.key), is_end=node.key not in working)
    return rung


# --- joins


def settle(connection: Connection, clock: Clock, session: str, settlements: Sequence[Settlement]) -> Settled:
    """Carry out verdicts with their joins; see `operations.settle`."""
    settled = operations.settle(connection, clock, session, settlements)
    ours = [each for each, our in zip(settlements, settled.ours, strict=True) if our and (each.joins or each.added)]
    return replace(settled, rung=settled.rung + join(connection, clock, ours)) if ours else settled


def join(connection: Connection, clock: Clock, settlements: Sequence[Settlement]) -> Counter[str]:
    """Count the members that *settlements* add and end; answers how many waiters to wake in which queue."""
    for each in settlements:
        for added in each.added:
            waiting = connection.execute(FLOWS["waiting"], added).fetchone()
            if waiting is not None:
                connection.execute(FLOWS["add"], (waiting[0], added[2]))
    nodes: dict[tuple[str, str, int], list[Join]] = {}
    for each in settlements:
        for one in each.joins:
            nodes.setdefault((one.flow, one.home, one.node), []).append(one)
    rung: Counter[str] = Counter()
    for node, joins in nodes.items():
        rung += _bring(connection, clock, node, joins)
    return rung


def _bring(connection: Connection, clock: Clock, node: tuple[str, str, int], joins: Sequence[Join]) -> Counter[str]:
    waiting = connection.execute(FLOWS["waiting"], node).fetchone()
    if waiting is None:
        return Counter()
    flow, is_end = waiting
    place = (flow, node[2])
    rows = [_brought(flow, each, is_end=is_end) for each in joins]
    fresh = [failed for (failed,) in connection.executemany(FLOWS["bring"], rows)]
    (complete,) = connection.execute(FLOWS["count"], (*place, len(fresh), sum(fresh))).fetchone() or (0,)
    return _open(connection, clock, place, is_end=is_end) if complete else Counter()


def _open(connection: Connection, clock: Clock, place: tuple[int, int], *, is_end: bool) -> Counter[str]:
    sent, rung = _send(connection, clock, place, PORTION)
    connection.execute(FLOWS["opened"], (*place, OPENING if sent == PORTION else OPENED, clock.wall()))
    if is_end:
        (left,) = connection.execute(FLOWS["end_reached"], (place[0],)).fetchone() or (1,)
        if left == 0:
            connection.execute(FLOWS["end"], (place[0], clock.wall()))
    return rung


def _send(connection: Connection, clock: Clock, place: tuple[int, int], limit: int) -> tuple[int, Counter[str]]:
    rows = connection.execute(FLOWS["left"], (*place, limit)).fetchall()
    if not rows:
        return 0, Counter()
    jobs = [Job(job_id, queue, envelope, *when) for _, job_id, queue, *when, envelope in rows]
    operations.name_queues(connection, {job.queue for job in jobs})
    rung = operations.send(connection, clock, jobs)
    connection.execute(FLOWS["sent"], (*place, rows[-1][0]))
    return len(rows), rung


# --- nodes with many jobs


def send_opened(connection: Connection, clock: Clock, limit: int = PORTION) -> tuple[int, Counter[str]]:
    """Send up to *limit* jobs that an opening node has left; answers how many, and how many to wake in which queue."""
    place = connection.execute(FLOWS["opening"]).fetchone()
    if place is None or limit <= 0:
        return 0, Counter()
    flow, node = place
    sent, rung = _send(connection, clock, (flow, node), limit)
    if sent < limit:
        connection.execute(FLOWS["opened"], (flow, node, OPENED, clock.wall()))
    return sent, rung


def receive(
    connection: Connection, clock: Clock, session: tuple[str, int], queues: Sequence[str], limit: int
) -> Received:
    """Lease ready jobs; see `operations.receive`. Before that, an opening node sends some of what it has left."""
    sent, rung = send_opened(connection, clock)
    received = operations.receive(connection, clock, session, queues, limit)
    return replace(received, rung=rung) if sent else received


# --- the end


def forget(connection: Connection, clock: Clock, limit: int) -> int:
    """Delete about *limit* rows of flows that ended long enough ago; answers how many, 0 if there are none."""
    deleted = 0
    for (flow,) in connection.execute(FLOWS["over"], (clock.wall(), limit)).fetchall():
        deleted += drop(connection, flow, limit)
        if deleted >= limit:
            break
    return deleted


def drop(connection: Connection, flow: int, limit: int) -> int:
    """Delete up to *limit* jobs and as many inputs of *flow*, and itself if nothing is left; answers how many."""
    deleted = sum(1 for name in ("drop_jobs", "drop_inputs") for _ in _dropped(connection, name, flow, limit))
    if limit == _NO_LIMIT or deleted < limit:
        connection.execute(FLOWS["drop_nodes"], (flow,))
        connection.execute(FLOWS["drop"], (flow,))
        deleted += 1
    return deleted


def _dropped(connection: Connection, name: str, flow: int, limit: int) -> Iterator[tuple[object, ...]]:
    yield from connection.execute(FLOWS[name], (flow, limit)).fetchall()
