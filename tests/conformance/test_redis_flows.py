"""What keeps flows safe inside the scripts: the order of their writes, and that each protection is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.conformance.redis_stage import LEASE, PREFIX, QUEUE, Scenario, Stage, cut_everywhere, settling
from tests.patient import PATIENT
from tests.servers import Redis, Server, Service
from umbel.brokers.redis import RedisBroker
from umbel.contracts.broker import Beat, Settlement
from umbel.engines.redis_command import Word
from umbel.engines.redis_draft import Draft
from umbel.exceptions import BrokerError, BrokerFull
from umbel.model.flow import Flow, Join, Node
from umbel.model.job import Delivery, Job

FLOW = "flow"
KEY = f"{PREFIX}flow:{FLOW}"
MANY = 300


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    stage = Stage(redis_url)
    yield stage
    stage.close()


# --- a flow of two members, a node of several jobs that waits for both, and an end


def arguments(bodies: int) -> list[Word]:
    """What starts it."""
    draft = Draft(Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1)), ttl=100.0), clustered=False)
    for number in range(2):
        draft.add(0, Job(f"a{number}", QUEUE, b"A"))
    for number in range(bodies):
        draft.add(1, Job(f"b{number:03}", QUEUE, b"B"))
    roots, fields = draft.finish()
    return [FLOW, 1, len(roots), *roots, *fields]


def started(stage: Stage, bodies: int = 3) -> None:
    """It has started, and s1 holds both members."""
    stage.fresh()
    assert stage.run("flow_start", *arguments(bodies)) == 1
    assert [each.id for each in stage.receive("s1", 1)] == ["a0", "a1"]


def opened(stage: Stage) -> None:
    """The node of many jobs has opened; some are still left in the flow."""
    started(stage, MANY)
    assert stage.run("settle_joins", *ends()) == [b"ok", 1, 1]


def member(number: int, *joins: Join, **fields: Any) -> Settlement:
    """The end of a member."""
    return Settlement(Delivery(f"a{number}", QUEUE, 9, 1, b"A"), "end", record=b"r", ttl=60.0, joins=joins, **fields)


def at(node: int, number: int, value: bytes = b"value") -> Join:
    return Join(FLOW, QUEUE, node, number, value)


def ends() -> list[Word]:
    """Both members end in one settle."""
    return settling("s1", member(0, at(1, 0)), member(1, at(1, 1)))


def last_end() -> list[Word]:
    """A job joins the end."""
    return settling("s1", member(0, at(2, 0)))


def with_more() -> list[Word]:
    """A member ends, and its node waits for one more; so it does not open when the other member ends as well."""
    more = member(0, at(1, 0), follow_ups=(Job("more", QUEUE, b"M"),), added=((FLOW, QUEUE, 1),))
    return settling("s1", more, member(1, at(1, 1)))


def facts(stage: Stage, node: int = 1) -> str:
    """How a node stands: members, added, joined, failed, first failed, open."""
    return b" ".join(stage.do("HGET", KEY, f"n:{node}").split(b" ")[:6]).decode()


def bodies(stage: Stage) -> list[str]:
    """The jobs of the node that were sent."""
    return sorted(each.decode() for each in stage.do("HKEYS", f"{PREFIX}jobs") if each.startswith(b"b"))


def none_is_forgotten(stage: Stage) -> bool:
    """Each job of the node was sent or is still in the flow, and none was sent before both values were there."""
    left = b"".join(value for name, value in stage.do("HGETALL", KEY).items() if name.startswith(b"j:1:"))
    sent = bodies(stage)
    total = int(stage.do("GET", "total") or 3)
    everything = {f"b{number:03}" for number in range(total)}
    waiting = {each for each in everything if each.encode() in left}
    return waiting.union(sent) == everything and (not sent or len(stage.run("flow_page", FLOW, 1, -1, 9)) > 2 * 2 + 2)


def is_open(stage: Stage) -> bool:
    return facts(stage) == "2 0 2 0 -1 1" and len(bodies(stage)) == 3 and stage.do("HLEN", f"{PREFIX}held:s1") == 1


def is_over(stage: Stage) -> bool:
    return bool(stage.do("HGET", KEY, "state") == b"succeeded" and 0 < stage.do("PTTL", KEY) <= 160_000)


def waits_for_one_more(stage: Stage) -> bool:
    return facts(stage) == "2 1 2 0 -1 0" and bool(stage.do("HEXISTS", f"{PREFIX}jobs", "more"))


def has_started(stage: Stage) -> bool:
    return bool(stage.do("HGET", KEY, "created") and stage.do("LLEN", f"{PREFIX}ready:9") >= 2)


def many(prepare: Callable[[Stage], None]) -> Callable[[Stage], None]:
    def prepared(stage: Stage) -> None:
        prepare(stage)
        stage.do("SET", "total", MANY)

    return prepared


def all_were_sent(stage: Stage) -> bool:
    return len(bodies(stage)) == MANY and not stage.do("EXISTS", f"{PREFIX}opening")


SCENARIOS = {
    "start": Scenario("flow_start", Stage.fresh, arguments(3), 9, has_started),
    "open": Scenario("settle_joins", started, ends(), 10, is_open, holds=none_is_forgotten),
    "end": Scenario("settle_joins", started, last_end(), 9, is_over),
    "add": Scenario("settle_joins", started, with_more(), 9, waits_for_one_more, holds=none_is_forgotten),
    "receive": Scenario(
        "receive", many(opened), ["s2", 1, 32, 1 << 20], 8, none_is_forgotten, ["s2", 2, 32, 1 << 20], none_is_forgotten
    ),
    "reclaim": Scenario("reclaim", many(opened), [LEASE, 200], 9, all_were_sent, holds=none_is_forgotten),
    "join": Scenario(
        "flow_join", started, ["A", FLOW, 1, "x", "N", FLOW, 1, 2, 0, 1, b"1", b"1", "N", FLOW, 1, 1, 2, b"1"], 8,
        lambda stage: facts(stage) == "2 1 3 0 -1 1" and len(bodies(stage)) == 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCENARIOS.values(), ids=SCENARIOS)
def test_a_script_cut_before_any_write_forgets_no_job_of_a_flow_and_its_repeat_converges(
    stage: Stage, case: Scenario
) -> None:
    cuts, wrong = cut_everywhere(stage, case)
    assert wrong == []
    assert cuts >= case.writes


# --- each order of writes is needed


def in_front(line: str, of: str) -> Callable[[str], str]:
    """A change of a script: *line* comes before the line *of*."""
    return lambda text: replaced(replaced(text, f"{line}\n", "\n"), of, f"{line}\n{of}")


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def without(old: str, new: str = "") -> Callable[[str], str]:
    return lambda text: replaced(text, old, new)


MISORDERED: dict[str, tuple[str, Callable[[str], str]]] = {
    "marked as open before its jobs are sent": (
        "open", in_front("  redis.call('HSET', key, unpack(mark))", "  local place, group, left = 1, 0, 256"),
    ),
    "chunk deleted before its jobs are sent": (
        "receive", in_front("      redis.call('HDEL', key, field)", "      hand(home, kind, place, words)"),
    ),
    "entry taken before its chunks are sent": (
        "reclaim", in_front("      redis.call('LTRIM', list, 1, -1)", "    sent = sent + forward(rest, limit - sent)"),
    ),
    "said to have started before its jobs are sent": (
        "start", in_front("redis.call('HSET', key, 'created', now)", "for i = 6, 5 + count do"),
    ),
    "expiring after it was said to be over": (
        "end", in_front("  redis.call('HSET', key, unpack(mark))", "      redis.call('ZADD', home .. 'flows:over',"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISORDERED)
def test_a_wrong_order_of_writes_is_noticed(stage: Stage, name: str) -> None:
    scenario, change = MISORDERED[name]
    _, wrong = cut_everywhere(stage, SCENARIOS[scenario], change)
    assert wrong != []


UNGUARDED = {
    "a member": ("if not known[i] and not seen[member] then", "N", FLOW, 1, 1, 0, b"1"),
    "a new member": ("if known[1] and not known[2] then", "A", FLOW, 1, "x"),
}


@pytest.mark.parametrize("name", UNGUARDED)
def test_what_is_counted_once_is_counted_twice_without_the_look(stage: Stage, name: str) -> None:
    look, *words = UNGUARDED[name]
    assert counted_twice(stage, words) == 1
    stage.alter("flow_join", without(str(look), "if known[1] or true then"))
    assert counted_twice(stage, words) == 2


def counted_twice(stage: Stage, words: Sequence[Word]) -> int:
    """What a node has counted after the same was said twice."""
    started(stage)
    for _ in range(2):
        stage.run("flow_join", *words)
    return sum(map(int, facts(stage).split()[1:3]))


def test_a_flow_that_is_started_twice_is_kept_once_for_it_is_looked_for(stage: Stage) -> None:
    started(stage)
    assert stage.run("flow_start", *arguments(3)) == 0
    stage.alter("flow_start", without("if redis.call('HEXISTS', key, 'created') == 1 then", "if false then"))
    assert stage.run("flow_start", *arguments(3)) == 1


# --- what expires, and what never does


def test_a_start_that_is_not_finished_expires_and_a_running_flow_does_not(stage: Stage) -> None:
    stage.fresh()
    assert stage.run("flow_store", FLOW, 1, "field", "value") == 1
    assert 0 < stage.do("PTTL", KEY) <= 3_600_000
    *head, count, root = arguments(3)[:4]
    assert stage.run("flow_start", FLOW, 0, count, root, *arguments(3)[4:]) == 1, head
    assert stage.do("PTTL", KEY) == -1
    assert stage.run("flow_store", FLOW, 0, "field", "other") == 0
    assert stage.do("HGET", KEY, "field") == b"value"


@pytest.mark.parametrize("script", ["flow_store", "flow_start"])
def test_a_start_whose_first_part_has_expired_is_refused(stage: Stage, script: str) -> None:
    stage.fresh()
    assert stage.run(script, FLOW, 0, *arguments(3)[2:]) == -1
    assert not stage.do("EXISTS", KEY)


async def test_such_a_start_is_an_error_that_says_so(stage: Stage, redis_url: str) -> None:
    stage.fresh()
    broker = RedisBroker(redis_url, PATIENT)

    def jobs() -> Iterator[tuple[int, Job]]:
        for number in range(40_000):
            yield 0, Job(f"{number}", QUEUE, b"")
            if number == 39_000:
                assert stage.do("DEL", KEY) == 1

    with pytest.raises(BrokerError, match="more than an hour"):
        broker.flow_store.start(Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 40_000))), jobs())
    broker.close()


# --- a full server


async def test_a_full_server_starts_no_flow_and_ends_those_that_run(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis())
    broker, stage = RedisBroker(server.url, PATIENT), Stage(server.url)
    flow, sent = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1))), [Job(each, QUEUE, b"") for each in "abc"]
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    broker.flow_store.start(flow, [(0, sent[0]), (0, sent[1]), (1, sent[2])])
    stage.do("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(BrokerFull):
        broker.flow_store.start(Flow("other", QUEUE, (Node(0, 0),)), [])
    members = await broker.receive("s", [QUEUE], 10, wait=0)
    settlements: Sequence[Settlement] = [
        Settlement(each, "end", record=b"r", joins=(at(1, number),)) for number, each in enumerate(members)
    ]
    assert await broker.settle("s", settlements) == [True, True]
    assert [each.id for each in await broker.receive("s", [QUEUE], 10, wait=0)] == ["c"]
    await broker.aclose()
    broker.close()
    stage.close()


# --- a server that forgot


async def test_starts_and_joins_that_a_server_acknowledged_and_lost_are_said_again(
    launch: Callable[[Service], Server],
) -> None:
    server = launch(Redis())  # it keeps nothing: a restart loses all that it has acknowledged
    broker, stage = RedisBroker(server.url, PATIENT), Stage(server.url)
    flow = Flow(FLOW, QUEUE, (Node(0, 0), Node(1, 2), Node(2, 1)))
    await broker.flow_store.astart(
        flow, [(0, Job("a", QUEUE, b"")), (0, Job("b", QUEUE, b"")), (1, Job("c", QUEUE, b""))]
    )
    server.kill()
    server.start()
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    members = await broker.receive("s", [QUEUE], 10, wait=0)
    assert [each.id for each in members] == ["a", "b"]
    stage.do("SAVE")
    verdicts = [Settlement(each, "end", record=b"r", joins=(at(1, number),)) for number, each in enumerate(members)]
    assert await broker.settle("s", verdicts) == [True, True]
    server.kill()
    server.start()  # with what it held when it was saved: both members are running
    assert await broker.reconcile("s", [QUEUE], []) == 0
    assert [each.id for each in await broker.receive("s", [QUEUE], 10, wait=0)] == ["c"]
    await broker.aclose()
    broker.close()
    stage.close()


async def test_a_flow_that_is_damaged_blocks_no_other(stage: Stage, redis_url: str) -> None:
    started(stage)
    stage.do("RENAME", KEY, "aside")
    stage.do("SET", KEY, "x")
    broker = RedisBroker(redis_url, PATIENT, lambda: stage.now)
    assert await broker.settle("s1", [member(0, at(1, 0)), member(1)]) == [False, True]
    stage.do("RENAME", "aside", KEY)
    assert await broker.settle("s1", [member(0, at(1, 0))]) == [True]
    assert facts(stage) == "2 0 1 0 -1 0"
    await broker.aclose()
