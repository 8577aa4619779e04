"""Flows in PostgreSQL: what happens at the same time, and that each protection is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.conformance.test_postgres_races import LEASE, QUEUE, Stage, command
from umbel.brokers.postgres import flow_operations
from umbel.brokers.postgres.flow_operations import SQL, more, start
from umbel.brokers.postgres.flow_packing import MAX_STORED
from umbel.brokers.postgres.operations import Verbs
from umbel.contracts.broker import Settlement
from umbel.engines.operation import drive
from umbel.engines.postgres_command import Command
from umbel.exceptions import BrokerError
from umbel.model.flow import Flow, Join, Node
from umbel.model.ids import new_id
from umbel.model.job import Delivery, Job

FLOW = "flow"
MANY = 600


class FlowStage(Stage):
    """A flow of some members, a body, an end; and a session that holds the members."""

    async def begun(self, *members: str, waits: int | None = None, bodies: int = 1) -> list[Delivery]:
        self.session = await self.open()
        nodes = (Node(0, 0), Node(1, len(members) if waits is None else waits), Node(2, 1))
        jobs = [(0, Job(each, QUEUE, b"")) for each in members]
        jobs += [(1, Job(f"body {number:03}", QUEUE, b"")) for number in range(bodies)]
        await self.broker.flow_store.astart(Flow(FLOW, QUEUE, nodes), iter(jobs))
        return await self.take()

    async def take(self, limit: int = 100) -> list[Delivery]:
        return await self.broker.receive(self.session, [QUEUE], limit, wait=0)

    async def every(self) -> list[str]:
        received: list[str] = []
        while found := await self.take():
            received += [each.id for each in found]
        return received

    async def end(self, delivery: Delivery, *joins: Join) -> list[bool]:
        return await self.broker.settle(self.session, [ending(delivery, *joins)])

    def run(self, statement: bytes) -> None:
        self._watch.execute(statement)

    def counted(self, node: int = 1) -> int:
        found = self.broker.flow_store.flow(FLOW, QUEUE)
        assert found is not None
        return found.nodes[node].joined

    def state(self) -> str:
        found = self.broker.flow_store.flow(FLOW, QUEUE)
        assert found is not None
        return found.state


def ending(delivery: Delivery, *joins: Join) -> Settlement:
    return Settlement(delivery, "end", record=b"record", joins=joins)


def at(node: int, member: int = 0) -> Join:
    return Join(FLOW, QUEUE, node, member, b"value")


@pytest.fixture
async def stage(postgres_url: str) -> AsyncIterator[FlowStage]:
    made = FlowStage(postgres_url)
    yield made
    await made.close()


# --- two transactions at the same time


async def the_last_members_open_the_node_once(stage: FlowStage) -> bool:
    first, second = await stage.begun("a", "b")
    settling = command(Verbs().settle(stage.session, [ending(first, at(1, 0))], ()))
    await stage.meanwhile(settling, lambda: stage.end(second, at(1, 1)))
    return await stage.every() == ["body 000"]


async def the_last_ends_end_the_flow(stage: FlowStage) -> bool:
    await stage.begun("a")
    nodes = (Node(0, 0), Node(1, 1), Node(2, 1))
    jobs = [(0, Job(each, QUEUE, b"")) for each in "bc"]
    await stage.broker.flow_store.astart(Flow("two ends", QUEUE, nodes), iter(jobs))
    first, second = await stage.take()
    joins = [Join("two ends", QUEUE, node, 0, b"") for node in (1, 2)]
    settling = command(Verbs().settle(stage.session, [ending(first, joins[0])], ()))
    await stage.meanwhile(settling, lambda: stage.end(second, joins[1]))
    found = stage.broker.flow_store.flow("two ends", QUEUE)
    return found is not None and found.state == "succeeded"


async def of_two_starts_of_a_flow_one_wins(stage: FlowStage) -> bool:
    stage.session = await stage.open()
    flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 1), Node(2, 1)))

    def jobs() -> Iterator[tuple[int, Job]]:
        yield 0, Job(new_id(), QUEUE, b"")
        yield 1, Job("body", QUEUE, b"")

    starting = command(start(flow, jobs(), lambda _: [], None))
    await stage.meanwhile(starting, lambda: stage.broker.flow_store.astart(flow, jobs()))
    forgotten(stage)  # what the other one has stored, and nothing else
    return len(await stage.every()) == 1 and bool(stage.value(b"select count(*) = 1 from umbel.flow_chunk"))


async def of_two_who_send_the_rest_one_goes_on(stage: FlowStage) -> bool:
    (member,) = await stage.begun("a", bodies=MANY)
    await stage.end(member, at(1))
    await stage.meanwhile([more(200, None)], lambda: stage.broker.reclaim([QUEUE], LEASE))
    names = [f"body {number:03}" for number in range(MANY)]
    return (
        stage.value(b"select sent from umbel.flow_node where number = 1") * 32 < MANY and await stage.every() == names
    )


# --- one after the other


async def a_member_that_joins_twice_counts_once(stage: FlowStage) -> bool:
    first, second = await stage.begun("a", "b", waits=3)
    await stage.end(first, at(1))
    await stage.end(second, at(1))
    return stage.counted() == 1


async def a_refused_verdict_joins_nothing(stage: FlowStage) -> bool:
    (first,) = await stage.begun("a", waits=2)
    await stage.broker.settle(stage.session, [Settlement(first, "release")])
    await stage.take()
    assert await stage.end(first, at(1)) == [False]
    return stage.counted() == 0


async def an_end_counts_once_for_the_flow(stage: FlowStage) -> bool:
    nodes = (Node(0, 0), Node(1, 1), Node(2, 1))
    stage.session = await stage.open()
    await stage.broker.flow_store.astart(Flow(FLOW, QUEUE, nodes), iter([(0, Job(each, QUEUE, b"")) for each in "ab"]))
    first, second = await stage.take()
    settling = command(Verbs().settle(stage.session, [ending(first, at(1))], ()))
    await stage.meanwhile(settling, lambda: stage.end(second, at(1, 5)))
    return stage.state() == "running"


async def a_node_that_has_opened_is_brought_nothing(stage: FlowStage) -> bool:
    (first,) = await stage.begun("a")
    await stage.end(first, at(1))
    (body,) = await stage.take()
    await stage.end(body, at(1, 5))
    return bool(stage.value(b"select count(*) = 1 from umbel.flow_input"))


async def a_start_that_lost_a_part_is_refused(stage: FlowStage) -> bool:
    def jobs() -> Iterator[tuple[int, Job]]:
        for number in range(3000):
            yield 0, Job(f"{number}", QUEUE, b"")
        stage.value(
            b"with gone as (delete from umbel.flow_chunk where place < 9 returning 1) select count(*) from gone"
        )

    stage.session = await stage.open()
    try:
        await stage.broker.flow_store.astart(Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 3000))), jobs())
    except BrokerError as error:
        return "more than an hour" in str(error)
    return len(await stage.every()) == 3000


async def a_start_whose_inputs_were_cleared_away_is_refused(stage: FlowStage) -> bool:
    def inputs() -> Iterator[Join]:
        for number in range(MAX_STORED + 1):
            yield at(1, number)
        forgotten(stage)

    stage.session = await stage.open()
    flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, MAX_STORED + 1), Node(2, 1)))
    try:
        await stage.broker.flow_store.astart(flow, [(1, Job("body", QUEUE, b""))], inputs())
    except BrokerError as error:
        return "more than an hour" in str(error)
    return len(await stage.every()) == 1


def forgotten(stage: FlowStage) -> None:
    """Let the starts that are under way be cleared away."""
    stage.run(b"update umbel.flow_draft set expires = now()")
    drive(Verbs().clean(), stage.broker.flow_store._engine.call)


def left(stage: FlowStage) -> int:
    """How much is stored of flows."""
    tables = [b"select from umbel." + table for table in (b"flow_node", b"flow_input", b"flow_chunk", b"flow")]
    return int(stage.value(b"select count(*) from (" + b" union all ".join(tables) + b") as stored"))


class Twin(NamedTuple):
    """A promise, and the text of a statement without which it is broken."""

    promise: Callable[[FlowStage], Awaitable[bool]]
    statement: str
    sound: str
    broken: str


_COUNT, _SEEN = "node.joined + counted.joined >=", "(select joined from umbel.flow_node where id = counted.id) + 1 >="
_ENDS, _ENDS_SEEN = (
    "case when flow.ends >",
    "case when (select again.ends from umbel.flow as again where again.id = flow.id) >",
)
_NEW, _AGAIN = "on conflict do nothing", "on conflict (node, member) do update set value = excluded.value"
_OURS = "place = any(current_setting('umbel.ours')::int4[])"
TWINS = [
    Twin(the_last_members_open_the_node_once, "join", _COUNT, _SEEN),
    Twin(the_last_ends_end_the_flow, "open", _ENDS, _ENDS_SEEN),
    Twin(of_two_starts_of_a_flow_one_wins, "begin", "do nothing", "do update set key = excluded.key"),
    Twin(of_two_who_send_the_rest_one_goes_on, "more", "skip locked", ""),
    Twin(a_member_that_joins_twice_counts_once, "join", _NEW, _AGAIN),
    Twin(a_refused_verdict_joins_nothing, "join", _OURS, "true"),
    Twin(an_end_counts_once_for_the_flow, "join", "from locked)) and node.state = 0", "from locked))"),
    Twin(a_node_that_has_opened_is_brought_nothing, "join", "and node.state = 0 limit 1", "limit 1"),
    Twin(a_start_that_lost_a_part_is_refused, "begin", "where $9::int4 =", "where $9::int4 > 0 or 0 ="),
    Twin(a_start_whose_inputs_were_cleared_away_is_refused, "begin", "nodes = $11::int8[]", "true"),
]


async def kept(promise: Callable[[FlowStage], Awaitable[bool]], stage: FlowStage) -> bool:
    """Whether *promise* is kept; an error is no answer that was promised."""
    try:
        return await promise(stage)
    except BrokerError:
        return False


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.promise.__name__)
async def test_a_promise_is_kept_and_broken_without_its_protection(
    twin: Twin, stage: FlowStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await twin.promise(stage)
    for table in (b"flow", b"flow_node", b"flow_input", b"flow_chunk", b"flow_draft", b"job", b"result"):
        stage.run(b"truncate umbel." + table)
    text = SQL.texts[f"flows.{twin.statement}"].decode()
    assert twin.sound in text
    monkeypatch.setitem(SQL.texts, f"flows.{twin.statement}", text.replace(twin.sound, twin.broken).encode())
    assert not await kept(twin.promise, stage)


# --- plans


async def test_no_statement_of_flows_reads_a_whole_table(stage: FlowStage, postgres_url: str) -> None:
    await stage.begun("a")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off")
        connection.execute("select set_config('umbel.ours', '{}', false)")
        starting = "store", "allot", "bring", "begin", "nodes", "brought", "clear"
        for name in (*starting, "await", "join", "open", "more", "page", "find", "revoke"):
            plan = planned(connection, name)
            tables = [line for line in plan if " on umbel" in line or " on flow" in line or " on job" in line]
            assert not [line for line in tables if "Seq Scan" in line], plan
            assert not [line for line in plan if "Anti Join" in line or "Merge Join" in line], plan


def planned(connection: psycopg.Connection[Any], name: str) -> list[str]:
    """The plan of a statement that is kept for any values."""
    text = SQL.texts[f"flows.{name}"].decode()
    count = max(number for number in range(1, 12) if f"${number}" in text)
    connection.execute(f"prepare the_{name} as {text}".encode())
    values = ", ".join(["null"] * count)
    return [row[0] for row in connection.execute(f"explain execute the_{name}({values})".encode())]


# --- what is forgotten


async def test_a_flow_that_is_over_leaves_nothing_and_is_cleared_away_in_portions(
    stage: FlowStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended(stage, [f"{number}" for number in range(70)])
    monkeypatch.setattr(flow_operations, "MAX_FORGOTTEN", 32)
    left = []
    while stage.value(b"select count(*) from umbel.flow"):
        left.append(stage.value(b"select count(*) from umbel.flow_input"))
        stage.run(b"update umbel.flow set forget = now()")
        drive(Verbs().clean(), stage.broker.flow_store._engine.call)
    assert left == [71, 39, 7]
    rows = b"select count(*) from (select from umbel.flow_node union all select from umbel.flow_chunk) as left_over"
    assert stage.value(rows) == 0


async def test_a_start_that_breaks_off_leaves_nothing_of_what_was_brought(stage: FlowStage) -> None:
    def broken() -> Iterator[Join]:
        for number in range(MAX_STORED + 1):
            yield at(1, number)
        raise ConnectionResetError

    flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1)))
    with pytest.raises(ConnectionResetError):
        await stage.broker.flow_store.astart(flow, [(1, Job("body", QUEUE, b""))], broken())
    assert left(stage) == MAX_STORED
    forgotten(stage)
    assert left(stage) == 0


async def test_a_start_whose_answers_are_lost_is_repeated_and_starts_once(stage: FlowStage) -> None:
    stage.session = await stage.open()
    engine = stage.broker.flow_store._engine

    def twice(command: Command) -> object:
        engine.call(command)
        return engine.call(command)

    flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1)))
    jobs = [(0, Job("a", QUEUE, b"")), (1, Job("body", QUEUE, b""))]
    drive(start(flow, iter(jobs), lambda _: [], None, [at(1, 0)]), twice)
    (member,) = await stage.take()
    assert stage.counted() == 1
    await stage.end(member, at(1, 1))
    assert await stage.every() == ["body"]


async def test_a_start_that_comes_second_leaves_nothing_of_what_was_brought(stage: FlowStage) -> None:
    flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1)))
    for value in (1, 2):
        await stage.broker.flow_store.astart(flow, [(1, Job("body", QUEUE, b""))], [at(1, value)])
    forgotten(stage)
    assert [row[0] for row in stage._watch.execute("select member from umbel.flow_input")] == [1]


async def ended(stage: FlowStage, members: list[str]) -> None:
    """A flow that has ended."""
    found = await stage.begun(*members)
    await stage.broker.settle(stage.session, [ending(each, at(1, int(each.id))) for each in found])
    (body,) = await stage.take()
    await stage.end(body, at(2))
    assert stage.state() == "succeeded"
