"""What keeps limits right inside the scripts of Redis: the order of their writes, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.redis_stage import (
    LEASE,
    PREFIX,
    QUEUE,
    Scenario,
    Stage,
    cut_everywhere,
    orphans,
    places,
    settling,
)
from tests.patient import PATIENT
from tests.servers import Redis, Server, Service
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.limit_packing import admitting, entry_words, limit_name, pace_word
from umbel.contracts.broker import Settlement
from umbel.contracts.limits import Admission, Entry
from umbel.engines.redis_command import Word
from umbel.exceptions import BrokerError, BrokerFull, QueueFull
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.model.limit import Limit, Pace, Unique

ONE = Limit("task", "key", None, Pace(concurrency=1))
SLOW = Limit("slow", "", None, Pace(interval=10.0))
KEY = Unique("unique key")
NAME = limit_name("task", "key").decode()


def taking(turn: str) -> Limit:
    """One after the other, in turns."""
    return Limit("task", "key", turn, Pace(concurrency=1))


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    stage = Stage(redis_url)
    yield stage
    stage.close()


@pytest.fixture
def broker(stage: Stage, redis_url: str) -> Iterator[RedisBroker]:
    """A client of an empty server, on the stage's time."""
    stage.fresh()
    broker = RedisBroker(redis_url, PATIENT, lambda: stage.now)
    yield broker
    broker.close()


def job(name: str, **fields: Any) -> Job:
    return Job(name, QUEUE, b"E", **fields)


def under(limit: Limit | None, *names: str, unique: Unique | None = None, **fields: Any) -> list[Admission]:
    return [Admission(job(each, **fields), limit, unique) for each in names]


def admission(stage: Stage, *admissions: Admission) -> list[Word]:
    """The arguments of an admit."""
    ((command, _),) = admitting(stage.calls, admissions)
    return list(command.words[6:])


def asking(session: str, *entries: Entry) -> list[Word]:
    """The arguments of an enter."""
    return [session, *(word for entry in entries for word in entry_words(entry))]


def admit(stage: Stage, *admissions: Admission) -> None:
    stage.run("admit", *admission(stage, *admissions))


def enter(stage: Stage, session: str, *entries: Entry) -> list[str]:
    return [each.decode() for each in stage.run("enter", *asking(session, *entries))]


def holds(stage: Stage, name: str = NAME) -> tuple[int, int, int]:
    """How many jobs of a limit are out, in, and in one of its lines."""
    runs = f"{PREFIX}runs:{name}"
    lines = sum(stage.do("ZCARD", key) for key in stage.do("KEYS", f"{PREFIX.replace('{', '[{]')}line:*:{name}*"))
    return stage.do("ZCOUNT", runs, "-inf", 0), stage.do("ZCOUNT", runs, 1, 1), lines


# --- a queue in every state


def limited(stage: Stage) -> None:
    """a1 is in, held by s1; a2, b1, b2 wait in their turns; p1 has come otherwise and is held by s1, too."""
    stage.fresh()
    admit(stage, *under(taking("a"), "a1", "a2", unique=None), *under(taking("b"), "b1", "b2"))
    (first,) = stage.receive("s1", 1)
    assert enter(stage, "s1", Entry(first, taking("a"))) == ["run"]
    stage.send(job("p1"))
    stage.receive("s1", 2)


def entered(name: str, number: int = 1) -> Delivery:
    return Delivery(name, QUEUE, 9, number, b"E")


def due(stage: Stage) -> None:
    """Two jobs of a slow limit wait, and it is time for the first; the slot of a lost job is to be forgotten."""
    stage.fresh()
    admit(stage, *under(SLOW, "t1", "t2", "t3"), *under(ONE, "o1", "o2"))
    (first, _) = stage.receive("s1", 1)
    assert enter(stage, "s1", Entry(first, SLOW)) == ["run"]
    stage.do("HDEL", f"{PREFIX}jobs", "o1")  # a failover lost that
    for _ in range(12):
        stage.now += 5
        stage.run("heartbeat", LEASE, 0, "s1", b"", "s2", b"")


def unused(stage: Stage) -> None:
    """A unique job is running, another one of the key asks."""
    stage.fresh()
    admit(stage, *under(ONE, "u1", unique=KEY))
    stage.send(job("u2"))
    assert len(stage.receive("s1", 1)) == 2


def are_admitted(stage: Stage) -> bool:
    found = places(stage)
    waiting = {name: set(found[name]) for name in ("x2", "x3", "y2")}
    return (
        stage.do("HLEN", f"{PREFIX}jobs") == 6
        and all(any(place.startswith("line:") for place in where) for where in waiting.values())
        and "delayed" in found["d1"]
        and stage.do("GET", f"{PREFIX}unique:unique key") == b"d0:x1"
        and holds(stage) == (1, 0, 3)
    )


def have_asked(stage: Stage) -> bool:
    found = places(stage)
    return (
        any(place.startswith("line:") for place in found.get("p1", ()))
        and "held:s1" not in found.get("p1", ())
        and found["a1"] == ["held:s1"]
        and holds(stage) == (0, 1, 4)
    )


def has_given_way(stage: Stage) -> bool:
    """The place of a1 has gone to b1, at the latest with the next reclaim."""
    stage.run("reclaim", LEASE, 200)
    return holds(stage)[0] == 1 and b"o9" in (stage.do("HGET", f"{PREFIX}limited", "b1") or b"")[:2]


def is_released(stage: Stage) -> bool:
    out, _, waiting = holds(stage)
    text = stage.do("HGET", f"{PREFIX}limited", "t2") or b""
    return text[:1] == b"o" and (out, waiting) == (1, 0) and stage.do("HEXISTS", f"{PREFIX}limited", "o1") == 0


def are_seized(*names: str) -> Callable[[Stage], bool]:
    """What a cut left of an old place is garbage when they end."""

    def seized(stage: Stage) -> bool:
        found = places(stage)
        return all("held:r" in found.get(each, ()) for each in names)

    return seized


ADMITTED = [
    *under(taking("a"), "x1", unique=KEY), *under(taking("a"), "x2", "x3"), *under(taking("b"), "y2"),
    *under(None, "p1", priority=2), *under(SLOW, "d1", delay=5.0),
]  # fmt: skip


def scenarios(stage: Stage) -> dict[str, Scenario]:
    ask = asking("s1", Entry(entered("a1"), taking("a")), Entry(entered("p1", 2), taking("p"), Unique("other")))
    over = settling("s1", Settlement(entered("a1"), "end", record=b"r", ttl=60.0))
    retried = settling("s1", Settlement(entered("a1"), "retry", delay=5.0, counts=Counts(1)))
    adjusted = ["task", pace_word(Pace(concurrency=3)), ""]
    return {
        "admit": Scenario("admit", Stage.fresh, admission(stage, *ADMITTED), 20, are_admitted),
        "enter": Scenario("enter", limited, ask, 8, have_asked),
        "settle": Scenario("settle", limited, over, 12, has_given_way),
        "retry": Scenario("settle", limited, retried, 12, has_given_way),
        "reclaim": Scenario("reclaim", due, [LEASE, 200], 20, is_released),
        "revoke": Scenario("revoke", limited, ["r", LEASE, "a2", "b1"], 10, are_seized("a2", "b1")),
        "purge": Scenario("purge", limited, ["r", LEASE, 100, 1 << 20, 0], 10, are_seized("a2", "b1", "b2")),
        "adjust": Scenario("adjust", limited, adjusted, 12, lambda stage: holds(stage)[:2] == (2, 1)),
    }


CASES = ("admit", "enter", "settle", "retry", "reclaim", "revoke", "purge", "adjust")


@pytest.mark.parametrize("case", CASES)
def test_a_script_cut_before_any_write_loses_no_job_and_its_repeat_converges(stage: Stage, case: str) -> None:
    scenario = scenarios(stage)[case]
    cuts, wrong = cut_everywhere(stage, scenario)
    assert wrong == []
    assert cuts >= scenario.writes


def test_a_delivery_that_is_let_go_of_before_it_is_held_is_noticed(stage: Stage) -> None:
    def reordered(text: str) -> str:
        early = "if #left > 0 then\n  redis.call('HDEL', mine, unpack(left))\nend\n"
        assert text.count(early) == text.count("limits.flush()\nif") == 1
        return text.replace(early, "").replace("limits.flush()\n", f"{early}limits.flush()\n")

    _, wrong = cut_everywhere(stage, scenarios(stage)["enter"], reordered)
    assert any("p1 has no place" in each for each in wrong), wrong


# --- each protection is needed


def _no_place_is_taken_from_a_job_that_runs(stage: Stage) -> bool:
    admit(stage, *under(ONE, "a"))
    (found,) = stage.receive("s1", 1)
    enter(stage, "s1", Entry(found, ONE))
    stage.run("leave", "a")
    return holds(stage) == (0, 1, 0)


def _only_its_holder_enters(stage: Stage) -> bool:
    admit(stage, *under(ONE, "a"))
    stage.receive("s1", 1)
    return enter(stage, "s2", Entry(entered("a"), ONE)) == ["lost"]


def _an_end_gives_its_place_away(stage: Stage) -> bool:
    admit(stage, *under(ONE, "a", "b"))
    (found,) = stage.receive("s1", 1)
    enter(stage, "s1", Entry(found, ONE))
    stage.settle("s1", Settlement(found, "end"))
    return [each.id for each in stage.receive("s1", 2)] == ["b"]


def _two_jobs_of_one_turn_are_not_out_at_once(stage: Stage) -> bool:
    fair = Limit("task", "", "turn")
    admit(stage, *under(fair, "a"))
    admit(stage, *under(fair, "b"))
    return [each.id for each in stage.receive("s1", 1)] == ["a"]


def _a_place_that_nobody_needs_is_found(stage: Stage) -> bool:
    admit(stage, *under(ONE, "a", "b"))
    stage.do("HDEL", f"{PREFIX}jobs", "a")
    stage.now += 60
    stage.run("reclaim", LEASE, 200)
    return holds(stage) == (1, 0, 0)


def _a_key_is_free_when_its_job_has_ended(stage: Stage) -> bool:
    admit(stage, *under(None, "a", unique=KEY))
    (found,) = stage.receive("s1", 1)
    stage.settle("s1", Settlement(found, "end"))
    return not stage.do("EXISTS", f"{PREFIX}unique:unique key", f"{PREFIX}uniques")


@pytest.mark.parametrize(
    ("script", "protection", "without", "kept"),
    [
        ("leave", " and limits.is_over(ARGV[i + 2], level)", "", _no_place_is_taken_from_a_job_that_runs),
        ("enter", "tag_here ~= tag or", "", _only_its_holder_enters),
        ("settle", "limits.let_go(over, #ends + buried)", "", _an_end_gives_its_place_away),
        ("admit", " or turn and is_out(limit, turn)", "", _two_jobs_of_one_turn_are_not_out_at_once),
        ("reclaim", "  sweep(prefix, limits, limit)", "", _a_place_that_nobody_needs_is_found),
        ("settle", "verb.unique.drop(key, ids[i])", "", _a_key_is_free_when_its_job_has_ended),
    ],
)
def test_each_protection_holds_and_is_missed_when_it_is_off(
    stage: Stage, script: str, protection: str, without: str, kept: Callable[[Stage], bool]
) -> None:
    def altered(text: str) -> str:
        assert text.count(protection) == 1
        return text.replace(protection, without)

    for expected in (True, False):
        stage.fresh()
        assert kept(stage) == expected
        stage.alter(script, altered)


# --- nothing is left behind


async def test_nothing_is_left_of_limits_turns_and_keys_when_their_jobs_are_over(
    stage: Stage, broker: RedisBroker
) -> None:
    paces = (Pace(2), Pace(interval=0.5, burst=2), Pace(1, 0.1))
    limits = [
        Limit("task", f"key {number}", f"turn {turn}" if turn else None, paces[number % 3])
        for number in range(6)
        for turn in range(3)
    ]
    stood: dict[str, tuple[Limit, Unique]] = {}
    for number in range(72):
        seconds = 0.2 if number % 5 == 0 else 0.0
        stood[str(number)] = limits[number % 18], Unique(f"u{number}", "queued" if number % 2 else "done", seconds)
    broker.limit_store.admit([Admission(job(name), limit, unique) for name, (limit, unique) in stood.items()])
    session = new_session()
    stage.run("heartbeat", LEASE, 1, session, b"")
    over: set[str] = set()
    while len(over) < len(stood):
        received = await broker.receive(session, [QUEUE], 16, wait=0)
        answers = await broker.limit_store.enter(session, [Entry(each, *stood[each.id]) for each in received])
        running = [each for each, answer in zip(received, answers, strict=True) if answer == "run"]
        assert all(await broker.settle(session, [Settlement(each, "end") for each in running]))
        over |= {each.id for each in running}
        stage.now += 0.05
        stage.run("heartbeat", LEASE, 0, session, b"")
    stage.now += 2
    await broker.reclaim([QUEUE], LEASE / 1000)
    left = {
        key.decode().removeprefix(PREFIX).split(":")[0] for key in stage.do("KEYS", f"{PREFIX.replace('{', '[{]')}*")
    }
    assert left <= {"meta", "info", "held", "sessions", "wake", "r", "limits", "unique"}
    assert set(stage.do("KEYS", "*limits:*")) <= {f"{PREFIX}limits:state".encode()}
    assert all(0 < stage.do("PTTL", key) <= 60_200 for key in stage.do("KEYS", "*unique:*"))
    await broker.aclose()


async def test_a_place_is_given_away_as_fast_among_a_thousand_limits_and_turns_as_alone(
    stage: Stage, broker: RedisBroker
) -> None:
    """Counted in commands, which no load of the machine changes."""

    def calls() -> int:
        lines = stage.do("INFO", "commandstats").decode().splitlines()
        return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines if "calls=" in line)

    async def cost(number: int) -> int:
        ours = Limit("task", "ours", f"ours{number}", Pace(1))
        broker.limit_store.admit(under(ours, f"a{number}", f"b{number}", priority=9))
        session = new_session()
        stage.run("heartbeat", LEASE, 1, session, b"")
        spent = 0
        for name in "ab":
            before = calls()
            (found,) = await broker.receive(session, [QUEUE], 1, wait=0)
            assert found.id == f"{name}{number}"
            assert await broker.limit_store.enter(session, [Entry(found, ours)]) == ["run"]
            assert await broker.settle(session, [Settlement(found, "end")]) == [True]
            spent = spent or calls() - before
        return spent

    alone = await cost(1)
    crowd = [under(Limit("task", f"k{n}", f"t{n}", Pace(1)), f"x{n}", f"y{n}") for n in range(1000)]
    turns = [under(Limit("task", "all", f"t{n}", Pace(1)), f"v{n}", f"w{n}") for n in range(1000)]
    broker.limit_store.admit([each for pair in (*crowd, *turns) for each in pair])
    assert await cost(2) <= alone + 3
    await broker.aclose()


# --- a full server, a full queue, one that forgot


async def test_a_full_server_refuses_to_admit_and_does_all_the_rest(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis(config=("maxmemory-policy noeviction",)))
    stage, broker = Stage(server.url), RedisBroker(server.url, PATIENT)
    stage.fresh()
    broker.limit_store.admit(under(ONE, "a", "b", "c", unique=None))
    broker.send([job("late", priority=9)])
    received = await broker.receive("s1", [QUEUE], 2, wait=0)
    stage.do("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(BrokerFull) as failed:
        broker.limit_store.admit(under(ONE, "d"))
    assert not isinstance(failed.value, QueueFull)
    entries = [Entry(each, ONE) for each in received]
    assert await broker.limit_store.enter("s1", entries) == ["held", "run"]
    assert await broker.settle("s1", [Settlement(received[1], "end")]) == [True]
    await broker.limit_store.leave([(QUEUE, ONE, "a")])
    broker.limit_store.adjust(QUEUE, "task", Pace(5))
    assert {each.id for each in await broker.receive("s1", [QUEUE], 9, wait=0)} == {"late", "b", "c"}
    await broker.aclose()
    broker.close()
    stage.close()


def test_an_adjustment_reaches_many_limits_in_one_call(broker: RedisBroker) -> None:
    keys = [Limit("task", str(number), None, Pace(concurrency=1)) for number in range(120)]
    broker.limit_store.admit([each for key in keys for each in under(key, f"{key.key}a", f"{key.key}b")])
    broker.limit_store.adjust(QUEUE, "task", Pace(concurrency=2))
    assert {standing.out for _, standing in broker.limit_store.limits(QUEUE, "", 200)} == {0, 2}


def test_a_queue_that_is_bounded_takes_thousands_or_none(broker: RedisBroker) -> None:
    many = [Admission(job(str(number)), ONE if number % 2 else None, None, 2_999) for number in range(3_000)]
    with pytest.raises(QueueFull, match="has 0 jobs, and may have 2999"):
        broker.limit_store.admit(many)
    assert broker.locate("0", QUEUE).place == "unknown"
    assert len(broker.limit_store.admit(many[1:])) == 2_999
    assert broker.locate("2999", QUEUE).place == "held"


async def test_admissions_that_a_server_acknowledged_and_lost_are_said_again(
    launch: Callable[[Service], Server],
) -> None:
    server = launch(Redis())  # it keeps what was saved: a restart loses what it has acknowledged since
    broker = RedisBroker(server.url, PATIENT)
    broker.send([job("saved")])
    Stage(server.url).do("SAVE")
    assert broker.limit_store.admit(under(ONE, "a", "b", unique=None) + under(None, "c", unique=KEY)) == ["a", "b", "c"]
    server.kill()
    server.start()
    assert [(await broker.alocate(each, QUEUE)).place for each in "abc"] == ["ready", "held", "ready"]
    assert broker.limit_store.admit(under(None, "d", unique=KEY)) == ["c"]
    await broker.aclose()
    broker.close()


@pytest.mark.parametrize("key", ["holding", "limited", "limits", "limits:due", "limits:watched", "uniques"])
def test_a_key_of_a_wrong_type_is_named(stage: Stage, broker: RedisBroker, key: str) -> None:
    broker.limit_store.admit(under(SLOW, "a", "b", unique=None))
    stage.do("DEL", PREFIX + key)
    stage.do("SET", PREFIX + key, "x")
    with pytest.raises(BrokerError, match=f"key '{PREFIX}{key}' is a string".replace("{", "[{]")):
        broker.limit_store.admit([*under(ONE, "c", unique=KEY), *under(SLOW, "d")])
    stage.do("DEL", PREFIX + key)
    assert not orphans(stage)
