"""What keeps jobs safe inside the scripts: the order of their writes, the fence, and what they do on a full server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.redis_stage import (
    LEASE,
    MIXED,
    PREFIX,
    QUEUE,
    Scenario,
    Stage,
    cut_everywhere,
    held,
    orphans,
    scenarios,
    sent,
    settling,
)
from tests.patient import PATIENT
from tests.servers import Redis, Server, Service
from umbel.brokers.redis import RedisBroker
from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.exceptions import BrokerError, BrokerFull
from umbel.model.job import Counts, Delivery, Job

SCENARIOS = scenarios()
KEYS = (
    "jobs", "sessions", "delayed", "counts", "meta", "info", "dead", "parked", "parked:task", "held:s1", "wake",
    "ready:0", "ready:1", "ready:2", "ageing",
)  # fmt: skip


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    stage = Stage(redis_url)
    yield stage
    stage.close()


def scenario(name: str) -> Scenario:
    return next(each for each in SCENARIOS if each.script == name)


# --- a script that ends in the middle


@pytest.mark.parametrize("case", SCENARIOS, ids=str)
def test_a_script_cut_before_any_write_loses_no_job_and_its_repeat_converges(stage: Stage, case: Scenario) -> None:
    cuts, wrong = cut_everywhere(stage, case)
    assert wrong == []
    assert cuts >= case.writes


def test_an_envelope_written_before_its_place_is_noticed(stage: Stage) -> None:
    _, wrong = cut_everywhere(
        stage, scenario("send"), lambda text: _moved(text, "HSET', jobs", before="for level, new")
    )
    assert "cut 1: k1 has no place" in wrong


def test_an_old_place_left_before_the_new_one_is_taken_is_noticed(stage: Stage) -> None:
    _, wrong = cut_everywhere(
        stage, scenario("settle"), lambda text: _moved(text, "HDEL', held", before="local answer")
    )
    assert wrong != []


def _moved(text: str, part: str, before: str) -> str:
    """*text* with the line that has *part* moved in front of the line that begins with *before*."""
    lines = text.split("\n")
    (place,) = (number for number, line in enumerate(lines) if part in line)
    line = lines.pop(place).replace("unpack(ours)", "unpack(ids)")
    target = next(number for number, each in enumerate(lines) if each.lstrip().startswith(before))
    lines.insert(target, line)
    return "\n".join(lines)


# --- a key of a wrong type


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_a_wrong_type_is_named_and_costs_no_job(stage: Stage, key: str) -> None:
    failed = [case.script for case in SCENARIOS if _fails_naming(stage, case, key)]
    assert (key == "wake") == (failed == []), failed


def _fails_naming(stage: Stage, case: Scenario, key: str) -> bool:
    case.prepare(stage)
    name = PREFIX + key
    there = stage.do("EXISTS", name)
    if there:
        stage.do("RENAME", name, "aside")
    stage.do("HSET", name, "a", "b") if key in ("wake", "dead", "delayed") or key.startswith("r") else stage.do(
        "SET", name, "x"
    )
    try:
        stage.run(case.script, *case.words)
        failed = False
    except BrokerError as error:
        assert f"key '{name}' is a" in str(error)  # noqa: PT017 - some scripts do not look at some keys
        failed = True
    stage.do("DEL", name)
    if there:
        stage.do("RENAME", "aside", name)
    assert not orphans(stage), case
    return failed


# --- the fence


def _is_refused_twice(stage: Stage) -> bool:
    """A verdict of an earlier delivery comes again while the job is held by its second: only one holder may be left."""
    stage.fresh()
    stage.send(Job("job", QUEUE, b"E"))
    (first,) = stage.receive("s1", 1)
    assert stage.settle("s1", Settlement(first, "release")) == [1]
    stage.receive("s1", 2)
    stage.settle("s1", Settlement(first, "release"))
    return stage.receive("s2", 1) == []


def _ends_once(stage: Stage) -> bool:
    """Two sessions come to hold a job after a cut script: only one of them may end it."""
    stage.fresh()
    stage.send(Job("job", QUEUE, b"E"))
    stage.do("RPUSH", f"{PREFIX}ready:9", "job")
    holders = {session: stage.receive(session, 1, 1)[0] for session in ("s1", "s2")}
    ends = [stage.settle(session, Settlement(each, "end")) for session, each in holders.items()]
    return ends == [[1], [0]]


def _receives_once(stage: Stage) -> bool:
    """A receive that was given up arrives after the one that followed it: it may hand out nothing."""
    stage.fresh()
    stage.send(Job("job", QUEUE, b"E"))
    stage.run("reconcile", "s1", 2)
    return bool(stage.run("receive", "s1", 1, 10, 1000) == [b"stale"])


@pytest.mark.parametrize(
    ("script", "protection", "holds"),
    [
        ("settle", "tags[i] == tag and ", _is_refused_twice),
        ("settle", " and redis.call('HEXISTS', jobs, id) == 1", _ends_once),
        ("receive", "if number <= ", _receives_once),
    ],
)
def test_each_protection_holds_and_is_missed_when_it_is_off(
    stage: Stage, script: str, protection: str, holds: Callable[[Stage], bool]
) -> None:
    assert holds(stage)
    stage.alter(script, lambda text: _without(text, protection))
    assert not holds(stage)


def _without(text: str, protection: str) -> str:
    assert text.count(protection) == 1
    return text.replace(protection, "if 0 > " if protection.startswith("if ") else "")


# --- a full server


async def test_a_full_server_refuses_to_send_and_does_all_the_rest(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis(config=("maxmemory-policy noeviction",)))
    stage, broker = Stage(server.url), RedisBroker(server.url, PATIENT)
    queues = [QUEUE]
    await broker.heartbeat([Beat("s1"), Beat("s2")], queues, 10.0, opening=True)
    broker.send(MIXED)
    stage.do("CONFIG", "SET", "maxmemory", 1)

    with pytest.raises(BrokerFull, match="out of memory"):
        broker.send([Job("new", QUEUE, b"E")])
    with pytest.raises(BrokerFull, match="out of memory"):
        await broker.asend([Job("new", "another", b"E")])
    assert await broker.heartbeat([Beat("s3", b"info")], ["fresh"], 10.0, opening=True) == [True]
    assert await broker.heartbeat([Beat("s1", b"info")], queues, 10.0) == [True]
    deliveries = {each.id: each for each in await broker.receive("s1", queues, 10, wait=0)}
    assert await broker.mark("s1", deliveries["k1"])
    verdicts = [
        Settlement(deliveries["k1"], "end", record=b"r", ttl=60.0, follow_ups=(Job("next", QUEUE, b"N"),)),
        Settlement(deliveries["k2"], "retry", counts=Counts(1), envelope=b"NEW"),
        Settlement(deliveries["k3"], "dead", record=b"r", ttl=60.0),
        Settlement(deliveries["k5"], "park", task="task"),
    ]
    assert await broker.settle("s1", verdicts) == [True] * 4
    assert await broker.reconcile("s1", queues, [deliveries["k6"]]) == 1
    assert (await broker.reclaim(queues, 10.0, [Ended("s1", ("k6",))])).returned == 1
    assert await broker.unpark(queues, ["task"]) == 1
    again = await broker.receive("s2", queues, 10, wait=0)
    assert {each.id for each in again} == {"k2", "k5", "k6", "k7", "next"}
    assert (await broker.counts(queues))[0].delayed == 2
    assert broker.locate("k3", QUEUE).place == "dead"
    await broker.aclose()
    broker.close()
    stage.close()


# --- one item that cannot be settled


async def test_an_item_that_cannot_be_settled_blocks_no_other(stage: Stage, redis_url: str) -> None:
    broker = RedisBroker(redis_url, PATIENT, lambda: stage.now)
    held(stage)
    stage.do("SET", f"{PREFIX}parked:bad", "x")
    held_by_s1 = [Delivery(each, QUEUE, int(each[1]) % 3, 1, b"E") for each in ("k2", "k3", "k5")]
    verdicts = [Settlement(each, "end", record=b"r") for each in held_by_s1]
    verdicts[1] = Settlement(held_by_s1[1], "park", task="bad")
    assert await broker.settle("s1", verdicts) == [True, False, True]
    assert not orphans(stage)
    await broker.aclose()


async def test_a_queue_that_is_damaged_is_said_instead_of_dropping_verdicts(stage: Stage, redis_url: str) -> None:
    broker = RedisBroker(redis_url, PATIENT, lambda: stage.now)
    held(stage)
    stage.do("RENAME", f"{PREFIX}held:s1", "aside")
    stage.do("SET", f"{PREFIX}held:s1", "x")
    verdicts = [Settlement(Delivery(each, QUEUE, int(each[1]) % 3, 1, b"E"), "end") for each in ("k2", "k3")]
    with pytest.raises(BrokerError, match="held:s1"):
        await broker.settle("s1", verdicts)
    stage.do("RENAME", "aside", f"{PREFIX}held:s1")
    assert await broker.settle("s1", verdicts) == [True, True]
    await broker.aclose()


# --- what only this engine has


def test_the_oldest_dead_letters_go_with_their_envelopes(stage: Stage) -> None:
    held(stage)
    stage.settle("s1", Settlement(Delivery("k2", QUEUE, 2, 1, b"E"), "dead", record=b"r", ttl=60.0))
    stage.do("ZADD", f"{PREFIX}dead", int((stage.now - 31 * 86_400) * 1000), "k2")
    stage.run("reclaim", LEASE, 200)
    assert not stage.do("EXISTS", f"{PREFIX}dead")
    assert not stage.do("HEXISTS", f"{PREFIX}jobs", "k2")
    assert stage.do("GET", f"{PREFIX}r:k2") == b"r"


def test_the_thousandth_and_first_unknown_name_is_not_parked_but_dead(stage: Stage) -> None:
    held(stage)
    stage.do("SADD", f"{PREFIX}parked", *(f"name{number}" for number in range(1000)))
    held_by_s1 = [Delivery(each, QUEUE, int(each[1]) % 3, 1, b"E") for each in ("k2", "k3")]
    names = ("name7", "another")
    verdicts = [Settlement(each, "park", task=name) for each, name in zip(held_by_s1, names, strict=True)]
    assert stage.run("settle", *settling("s1", *verdicts)) == [b"ok", 1, 1]
    assert stage.do("LLEN", f"{PREFIX}parked:name7") == 1
    assert stage.do("ZRANGE", f"{PREFIX}dead", 0, -1) == [b"k3"]
    assert stage.do("GET", f"{PREFIX}r:k3") == b""


def test_a_silence_of_all_supervisors_lets_no_session_lapse_at_once(stage: Stage) -> None:
    sent(stage)
    stage.receive("s1", 1)
    stage.now += 3600
    assert stage.run("reclaim", LEASE, 200)[1] == 0
    assert stage.run("heartbeat", LEASE, 0, "s1", b"") == [1]
    for _ in range(3):
        stage.now += 4
        stage.run("heartbeat", LEASE, 0, "s1", b"")
    assert stage.run("reclaim", LEASE, 200)[1] == 0
    assert stage.do("ZSCORE", f"{PREFIX}sessions", "s1") > 0
    assert not stage.do("ZSCORE", f"{PREFIX}sessions", "s2")


def test_a_clock_set_back_prolongs_no_lease_beyond_one(stage: Stage) -> None:
    sent(stage)
    stage.now -= 3600
    stage.run("reclaim", LEASE, 200)
    assert stage.do("ZSCORE", f"{PREFIX}sessions", "s1") == (stage.now * 1000) + LEASE


def test_what_is_left_of_a_closing_session_keeps_its_charges(stage: Stage) -> None:
    held(stage)
    assert stage.run("close", "s1", 2, LEASE, "k2", "") == 2
    assert stage.run("reclaim", LEASE, 200)[1] == 0
    assert stage.run("close", "s1", 200, LEASE, "k2", "") == 4
    charged = [each.split(b":")[1:3] for each in stage.do("HVALS", f"{PREFIX}counts")]
    assert sorted(charged) == [[b"0", b"0"]] * 5 + [[b"1", b"0"]]


def test_a_closing_session_whose_supervisor_died_is_taken_over(stage: Stage) -> None:
    held(stage)
    stage.run("close", "s1", 2, LEASE)
    for _ in range(4):
        stage.now += 3
        stage.run("heartbeat", LEASE, 0, "s2", b"")
    assert stage.run("reclaim", LEASE, 200)[1] == 4
