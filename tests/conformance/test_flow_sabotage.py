"""Each protection of flows in SQLite is shown to be needed: without it the promise that it keeps is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from umbel.brokers.sqlite import SqliteBroker
from umbel.brokers.sqlite.nodes import FLOWS
from umbel.contracts.broker import Beat, Settlement
from umbel.engines.sqlite import Durability, Lane, Work
from umbel.engines.sqlite_file import File
from umbel.model.flow import Flow, Join, Node
from umbel.model.ids import new_session
from umbel.model.job import Delivery, Job
from umbel.testing import Clock

QUEUE = "q"
MANY = 600


class Stage:
    """One file, one session, one flow: some members, a body, an end."""

    def __init__(self, path: Path) -> None:
        self.broker = SqliteBroker(File(f"sqlite:///{path}", "broker_url", 30.0), Clock())
        self.session = new_session()

    async def open(self) -> None:
        await self.broker.heartbeat([Beat(self.session)], [QUEUE], 10.0, opening=True)

    def start(self, *members: str, waits: int | None = None, body: Sequence[str] = ("body",)) -> None:
        flow = Flow("flow", QUEUE, (Node(0, 0), Node(1, len(members) if waits is None else waits), Node(2, 1)))
        jobs = [*((0, Job(each, QUEUE, b"")) for each in members), *((1, Job(each, QUEUE, b"")) for each in body)]
        self.broker.flow_store.start(flow, jobs)

    async def take(self, limit: int = 10) -> list[Delivery]:
        return await self.broker.receive(self.session, [QUEUE], limit, wait=0)

    async def every(self) -> list[str]:
        received: list[str] = []
        while found := await self.take(250):
            received += [each.id for each in found]
        return received

    async def join(self, delivery: Delivery, member: int) -> list[bool]:
        joins = (Join("flow", QUEUE, 1, member, b"value"),)
        return await self.broker.settle(self.session, [Settlement(delivery, "end", joins=joins)])


async def a_member_that_joins_twice_counts_once(stage: Stage) -> bool:
    stage.start("a", "b", waits=3)
    first, second = await stage.take()
    await stage.join(first, 0)
    await stage.join(second, 0)
    return stage.broker.flow_store.flow("flow", QUEUE).nodes[1].joined == 1  # type: ignore[union-attr]


async def a_flow_ends_when_all_of_its_ends_have_opened(stage: Stage) -> bool:
    flow = Flow("flow", QUEUE, (Node(0, 0), Node(1, 1), Node(2, 1)))
    stage.broker.flow_store.start(flow, [(0, Job("a", QUEUE, b"")), (0, Job("b", QUEUE, b""))])
    first, second = await stage.take()
    await stage.join(first, 0)
    await stage.join(second, 1)  # to a node that has opened
    return stage.broker.flow_store.flow("flow", QUEUE).state == "running"  # type: ignore[union-attr]


async def nothing_of_an_unfinished_start_is_seen(stage: Stage) -> bool:
    def broken() -> Iterator[tuple[int, Job]]:
        yield from ((0, Job(f"{number}", QUEUE, b"")) for number in range(2000))
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        stage.broker.flow_store.start(Flow("flow", QUEUE, (Node(0, 0), Node(1, 2000))), broken())
    return stage.broker.flow_store.flow("flow", QUEUE) is None


async def a_flow_started_twice_is_kept_once(stage: Stage) -> bool:
    stage.start("a", "b")
    first, _ = await stage.take()
    await stage.join(first, 0)
    stage.start("a", "b")
    return stage.broker.flow_store.flow("flow", QUEUE).nodes[1].joined == 1  # type: ignore[union-attr]


async def the_rest_of_a_node_is_sent(stage: Stage) -> bool:
    stage.start(*(f"{number:03}" for number in range(MANY)))
    return len(await stage.every()) == MANY


class Twin(NamedTuple):
    """A promise, and the text of a statement without which it is broken."""

    promise: Callable[[Stage], Awaitable[bool]]
    statement: str
    sound: str
    broken: str


TWINS = [
    Twin(a_member_that_joins_twice_counts_once, "bring", "do nothing", "do update set value = excluded.value"),
    Twin(nothing_of_an_unfinished_start_is_seen, "view", "state > 0", "true"),
    Twin(a_flow_started_twice_is_kept_once, "find", "id = ?1", "id = ?1 and false"),
    Twin(the_rest_of_a_node_is_sent, "opening", "state = 1", "state = 9"),
    Twin(a_flow_ends_when_all_of_its_ends_have_opened, "waiting", "flow_node.state = 0", "true"),
]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.promise.__name__)
async def test_a_promise_is_kept_and_broken_without_its_protection(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await kept(twin, tmp_path / "sound.db")
    text = FLOWS[twin.statement]
    assert text.count(twin.sound) == 1
    monkeypatch.setitem(FLOWS, twin.statement, text.replace(twin.sound, twin.broken))
    assert not await kept(twin, tmp_path / "damaged.db")


async def kept(twin: Twin, path: Path) -> bool:
    stage = Stage(path)
    try:
        await stage.open()
        return await twin.promise(stage)
    except KeyError:  # a state that nobody should see has no name
        return False
    finally:
        stage.broker.close()


@pytest.mark.parametrize("failing", ["count", "left", "opened"])
async def test_a_settle_that_fails_while_a_node_opens_is_undone_and_is_not_without_its_transaction(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await half_way(tmp_path / "sound.db", failing, monkeypatch) == ("running", 0)
    monkeypatch.setattr(Lane, "_transact", without_transaction)
    assert await half_way(tmp_path / "damaged.db", failing, monkeypatch) != ("running", 0)


def without_transaction(lane: Lane, batch: Sequence[Work[Any]], _: Durability) -> None:
    connection = lane._ready()
    for work in batch:
        work.run(connection)


async def half_way(path: Path, failing: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Where the member is, and how many have joined, after the settle that opens a node has failed."""
    stage = Stage(path)
    await stage.open()
    stage.start("a")
    (delivery,) = await stage.take()
    with monkeypatch.context() as patched:
        patched.setitem(FLOWS, failing, "select fails()")
        with pytest.raises(Exception, match="fails"):
            await stage.join(delivery, 0)
    found = stage.broker.flow_store.flow("flow", QUEUE)
    place = stage.broker.locate("a", QUEUE).place
    stage.broker.close()
    assert found is not None
    return place, found.nodes[1].joined
