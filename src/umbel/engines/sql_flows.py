"""Flows in a SQL database, and the statements on them, in SQLAlchemy's Core.

Who starts a flow makes its key. What is stored under a key that no flow has yet is seen by nobody. Whoever counts
members locks the rows of their nodes first, by number and key, then the flows, then outboxes by their homes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from umbel.engines import sql_rows
from umbel.engines.sql_claims import BYTES, ID, NAME, Row

METADATA: Final = sa.MetaData()

FLOWS: Final = sa.Table(
    "umbel_claim_flows",
    METADATA,
    sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", NAME, nullable=False, unique=True),
    sa.Column("home", ID, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False, comment="unix time in ms"),
    sa.Column("ended", sa.BigInteger),
    sa.Column("forget", sa.BigInteger, comment="when it does not exist any more; null while it runs"),
    sa.Column("ttl", sa.BigInteger, nullable=False, comment="ms from its end to that"),
    sa.Column("expires", sa.Double, comment="unix time in seconds"),
    sa.Column("ends", sa.Integer, nullable=False, comment="how many of its ends have not opened"),
    sa.Column("bad", sa.Integer, nullable=False, comment="how many of those that have opened were brought a failure"),
    sa.Column("plan", BYTES, nullable=False),
    sa.Index("umbel_claim_flows_home", "home", "created"),
    sa.Index("umbel_claim_flows_forget", "home", "forget"),
)
NODES: Final = sa.Table(
    "umbel_claim_flow_nodes",
    METADATA,
    sa.Column("flow", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("node", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("members", sa.BigInteger, nullable=False),
    sa.Column("joined", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("first", sa.BigInteger, comment="the first member that failed"),
    sa.Column("opened", sa.BigInteger, comment="when it did, unix time in ms"),
    sa.Column("chunks", sa.Integer, nullable=False, comment="rows of jobs that it had; without any it is an end"),
)
CHUNKS: Final = sa.Table(
    "umbel_claim_flow_jobs",
    METADATA,
    sa.Column("flow", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("node", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("jobs", BYTES, nullable=False),
)
INPUTS: Final = sa.Table(
    "umbel_claim_flow_inputs",
    METADATA,
    sa.Column("flow", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("node", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("member", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Column("value", BYTES, nullable=False),
)
DRAFTS: Final = sa.Table(
    "umbel_claim_flow_drafts",
    METADATA,
    sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False, comment="what is stored for no flow yet"),
    sa.Column("home", ID, nullable=False),
    sa.Column("forget", sa.BigInteger, nullable=False, comment="unix time in ms"),
    sa.Index("umbel_claim_flow_drafts_forget", "home", "forget"),
)

_LOCKED: Final = (
    sa.select(NODES)
    .where(NODES.c.flow.in_(sa.bindparam("keys", expanding=True)), NODES.c.node == sa.bindparam("number"))
    .order_by(NODES.c.flow)
    .with_for_update()
)
_COUNT: Final = (
    sa.update(NODES)
    .where(NODES.c.flow == sa.bindparam("this_flow"), NODES.c.node == sa.bindparam("this_node"))
    .values({name: sa.bindparam(name) for name in ("members", "joined", "failed", "first", "opened")})
)
_END: Final = (
    sa.update(FLOWS)
    .where(FLOWS.c.key == sa.bindparam("this_key"))
    .values(ends=FLOWS.c.ends - sa.bindparam("opened"), bad=FLOWS.c.bad + sa.bindparam("failed"))
)
_STANDING: Final = (
    sa.select(FLOWS.c.key, FLOWS.c.state, FLOWS.c.expires, NODES.c.first, NODES.c.opened)
    .outerjoin_from(FLOWS, NODES, sa.and_(NODES.c.flow == FLOWS.c.key, NODES.c.node == sa.bindparam("node")))
    .where(
        FLOWS.c.id == sa.bindparam("id"),
        FLOWS.c.home == sa.bindparam("home"),
        sa.or_(FLOWS.c.forget.is_(None), FLOWS.c.forget > sa.bindparam("now")),
    )
)
_MEMBER: Final = (INPUTS.c.member, INPUTS.c.value, INPUTS.c.failed)
_MINE: Final = (INPUTS.c.flow == sa.bindparam("flow"), INPUTS.c.node == sa.bindparam("node"))
_PAGE: Final = (
    sa.select(*_MEMBER)
    .where(*_MINE, INPUTS.c.member > sa.bindparam("after"))
    .order_by(INPUTS.c.member)
    .limit(sa.bindparam("most"))
)
_ONE: Final = sa.select(*_MEMBER).where(*_MINE, INPUTS.c.member == sa.bindparam("member"))


# --- the start


def begin(connection: sa.Connection, flow: Row, now: int) -> int:
    """Add the row *flow*, unless there is one of its id; answers the key of the one that is there then."""
    if sql_rows.add(connection, FLOWS, [flow]) == 1:
        return int(flow["key"])
    key, forget = connection.execute(sa.select(FLOWS.c.key, FLOWS.c.forget).where(FLOWS.c.id == flow["id"])).one()
    if forget is None or forget > now:
        return int(key)
    drop(connection, key)
    connection.execute(sa.insert(FLOWS), [flow])
    return int(flow["key"])


def is_known(connection: sa.Connection, flow: str, now: int) -> bool:
    """Whether there is a flow of the id *flow*."""
    found = sa.select(FLOWS.c.key).where(FLOWS.c.id == flow, _lasting(now))
    return connection.execute(found).first() is not None


def draft(connection: sa.Connection, key: int, home: str, forget: int) -> bool:
    """Keep what is stored under *key* until *forget*; answers whether it was kept before."""
    new = sql_rows.add(connection, DRAFTS, [{"key": key, "home": home, "forget": forget}]) == 1
    if not new:
        connection.execute(sa.update(DRAFTS).where(DRAFTS.c.key == key).values(forget=forget))
    return not new


def adopt(connection: sa.Connection, key: int) -> bool:
    """What is stored under *key* is that of a flow from now on; answers whether it was still kept."""
    return connection.execute(sa.delete(DRAFTS).where(DRAFTS.c.key == key)).rowcount == 1


def store(connection: sa.Connection, chunks: Sequence[Row], inputs: Sequence[Row]) -> None:
    """Store rows of jobs and of what members brought; those that are there stay."""
    for table, rows in ((CHUNKS, chunks), (INPUTS, inputs)):
        if rows:
            sql_rows.add(connection, table, rows)


def add_nodes(connection: sa.Connection, nodes: Sequence[Row]) -> None:
    """Add the rows of *nodes*."""
    sql_rows.insert(connection, NODES, nodes)


# --- joins


def keys(connection: sa.Connection, ids: Collection[str]) -> dict[tuple[str, str], int]:
    """The keys of the flows *ids*, by id and home."""
    found = sa.select(FLOWS.c.id, FLOWS.c.home, FLOWS.c.key).where(FLOWS.c.id.in_(ids))
    return {(flow, home): key for flow, home, key in connection.execute(found)}


def lock(connection: sa.Connection, nodes: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
    """The rows of *nodes*, (key, number), locked."""
    numbers: dict[int, set[int]] = {}
    for key, number in nodes:
        numbers.setdefault(number, set()).add(key)
    rows: list[dict[str, Any]] = []
    for number, flows in sorted(numbers.items()):
        found = connection.execute(_LOCKED, {"keys": sorted(flows), "number": number}).mappings()
        rows += ({str(name): value for name, value in row.items()} for row in found)
    return rows


def brought(connection: sa.Connection, key: int, node: int, members: Collection[int]) -> set[int]:
    """Those of *members* that have brought something to the *node*."""
    mine = (INPUTS.c.flow == key, INPUTS.c.node == node, INPUTS.c.member.in_(members))
    return set(connection.scalars(sa.select(INPUTS.c.member).where(*mine)))


def count(connection: sa.Connection, nodes: Sequence[Row]) -> None:
    """Write the rows of *nodes* back."""
    if nodes:
        rows = [{**row, "this_flow": row["flow"], "this_node": row["node"]} for row in nodes]
        connection.execute(_COUNT, rows)


def end(connection: sa.Connection, opened: Mapping[int, tuple[int, int]], now: int) -> None:
    """Of each flow, by its key, so many ends have opened, so many of them with a failure; the last ends the flow."""
    rows = [{"this_key": key, "opened": some, "failed": bad} for key, (some, bad) in sorted(opened.items())]
    connection.execute(_END, rows)
    over = (FLOWS.c.key.in_(opened), FLOWS.c.ends <= 0, FLOWS.c.ended.is_(None))
    state = sa.case(
        (FLOWS.c.state != "running", FLOWS.c.state), (FLOWS.c.bad > 0, sa.literal("failed")), else_="succeeded"
    )
    connection.execute(sa.update(FLOWS).where(*over).values(state=state, ended=now, forget=FLOWS.c.ttl + now))


def first_chunks(connection: sa.Connection, flows: Collection[int], node: int, most: int) -> dict[int, list[bytes]]:
    """The first *most* rows of jobs of the *node* of each of *flows*, by its key, which are deleted."""
    return {
        key: [jobs for _, jobs in rows] for key, rows in _taken(connection, flows, node, CHUNKS.c.number < most).items()
    }


def next_chunks(connection: sa.Connection, key: int, node: int, most: int) -> tuple[list[bytes], bool]:
    """Up to *most* more rows of jobs of a node, which are deleted; and whether there are more."""
    mine = (CHUNKS.c.flow == key, CHUNKS.c.node == node)
    left = sa.select(CHUNKS.c.number).where(*mine).order_by(CHUNKS.c.number).limit(most + 1)
    numbers = list(connection.scalars(left))
    if not numbers:
        return [], False
    taken = _taken(connection, [key], node, CHUNKS.c.number <= numbers[:most][-1])
    return [jobs for _, jobs in taken[key]], len(numbers) > most


def _taken(
    connection: sa.Connection, flows: Collection[int], node: int, which: sa.ColumnElement[bool]
) -> dict[int, list[tuple[int, bytes]]]:
    mine = (CHUNKS.c.flow.in_(flows), CHUNKS.c.node == node, which)
    found: dict[int, list[tuple[int, bytes]]] = {}
    columns = (CHUNKS.c.flow, CHUNKS.c.number, CHUNKS.c.jobs)
    for key, number, jobs in connection.execute(sa.select(*columns).where(*mine).order_by(*columns[:2])):
        found.setdefault(key, []).append((number, bytes(jobs)))
    connection.execute(sa.delete(CHUNKS).where(*mine))
    return found


# --- what is told


def standing(connection: sa.Connection, flow: str, home: str, node: int, now: int) -> Sequence[Any] | None:
    """Key, state and expiry of a flow; which member of the *node* was the first that failed, and when it opened."""
    asked = {"id": flow, "home": home, "node": node, "now": now}
    return connection.execute(_STANDING, asked).first()


def page(connection: sa.Connection, key: int, node: int, after: int, most: int) -> list[tuple[int, bytes, bool]]:
    """Up to *most* members above *after* of a node, what they brought, and whether they failed; in order."""
    asked = {"flow": key, "node": node, "after": after, "most": most}
    return [(member, bytes(value), bool(failed)) for member, value, failed in connection.execute(_PAGE, asked)]


def member(connection: sa.Connection, key: int, node: int, number: int) -> tuple[int, bytes, bool]:
    """One member of a node that has brought something."""
    found, value, failed = connection.execute(_ONE, {"flow": key, "node": node, "member": number}).one()
    return found, bytes(value), bool(failed)


def find(connection: sa.Connection, flow: str, home: str | None, now: int) -> Row | None:
    """The row of a flow; of any home if *home* is None."""
    mine = [FLOWS.c.id == flow, _lasting(now), *([] if home is None else [FLOWS.c.home == home])]
    row = connection.execute(sa.select(FLOWS).where(*mine)).mappings().first()
    return None if row is None else {str(name): value for name, value in row.items()}


def nodes(connection: sa.Connection, key: int) -> list[Row]:
    """The rows of the nodes of a flow."""
    found = connection.execute(sa.select(NODES).where(NODES.c.flow == key).order_by(NODES.c.node)).mappings()
    return [{str(name): value for name, value in row.items()} for row in found]


def newest(connection: sa.Connection, homes: Collection[str], most: int, now: int) -> list[Row]:
    """The rows of the newest flows of *homes*."""
    found = sa.select(FLOWS).where(FLOWS.c.home.in_(homes), _lasting(now)).order_by(FLOWS.c.created.desc())
    return [
        {str(name): value for name, value in row.items()} for row in connection.execute(found.limit(most)).mappings()
    ]


def revoke(connection: sa.Connection, flow: str, home: str | None) -> bool:
    """Revoke a flow that runs; answers whether it did."""
    mine = [FLOWS.c.id == flow, FLOWS.c.state == "running", *([] if home is None else [FLOWS.c.home == home])]
    return connection.execute(sa.update(FLOWS).where(*mine).values(state="revoked")).rowcount > 0


# --- the end


def forget(connection: sa.Connection, home: str, now: int, most: int) -> None:
    """Delete up to about *most* rows of flows of *home* whose time is over, and of starts that nobody went on with."""
    for table in (DRAFTS, FLOWS):
        over = sa.select(table.c.key).where(table.c.home == home, table.c.forget <= now).order_by(table.c.forget)
        for key in list(connection.scalars(over.limit(max(1, most // 10)))):
            most -= 10 + drop(connection, key, most)
            if most <= 0:
                return


def drop(connection: sa.Connection, key: int, most: int | None = None) -> int:
    """Delete what is stored under *key*, of inputs and jobs up to about *most* rows each; answers how many."""
    deleted, left = 0, False
    for table, number in ((INPUTS, INPUTS.c.member), (CHUNKS, CHUNKS.c.number)):
        if most is None:
            connection.execute(sa.delete(table).where(table.c.flow == key))
            continue
        rows = sa.select(table.c.node, number).where(table.c.flow == key).order_by(table.c.node, number).limit(most)
        last = dict(list(connection.execute(rows)))  # of each node the last one
        for node, highest in last.items():
            mine = (table.c.flow == key, table.c.node == node, number <= highest)
            deleted += connection.execute(sa.delete(table).where(*mine)).rowcount
        left = left or deleted >= most
    if not left:
        connection.execute(sa.delete(NODES).where(NODES.c.flow == key))
        connection.execute(sa.delete(FLOWS).where(FLOWS.c.key == key))
        connection.execute(sa.delete(DRAFTS).where(DRAFTS.c.key == key))
    return deleted


def _lasting(now: int) -> sa.ColumnElement[bool]:
    return sa.or_(FLOWS.c.forget.is_(None), FLOWS.c.forget > now)
