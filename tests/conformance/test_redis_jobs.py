"""What keeps single jobs safe inside the scripts of Redis, and what only they have: void entries, tokens, boxes."""

from __future__ import annotations

import asyncio
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
    delivery,
    orphans,
    parked,
    places,
)
from tests.patient import PATIENT
from tests.servers import Redis, Server, Service
from umbel.brokers.redis import RedisBroker, job_operations
from umbel.contracts.broker import Beat, Settlement
from umbel.exceptions import BrokerError, BrokerFull
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.conformance.waiting import SETTLING_SECONDS

ROOM = 1 << 20
LETTERS = b"umbel:{~box:box}:letters"


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


def jobs(*names: str, **fields: Any) -> list[Job]:
    return [Job(each, QUEUE, b"E", **fields) for each in names]


# --- a script that ends in the middle


def everywhere(stage: Stage) -> None:
    """Ready r1 and r2, delayed k0 and k4, parked k2 and k3, the rest held by s1."""
    parked(stage)
    stage.send(*jobs("r1", priority=3), *jobs("r2"))


def buried(stage: Stage) -> None:
    """Two dead letters of different levels, with all that belongs to one."""
    everywhere(stage)
    stage.run("note", "s1", "k5", "2:1", b"note", "k6", "0:1", b"note")
    stage.settle("s1", *(Settlement(delivery(each), "dead", record=b"r", ttl=60.0) for each in ("k5", "k6")))


def paused(stage: Stage) -> None:
    everywhere(stage)
    assert stage.run("pause", 1) == 1


def are_taken(*names: str) -> Callable[[Stage], bool]:
    """They are held and doomed; what a cut left of an old place is garbage when they end."""

    def taken(stage: Stage) -> bool:
        found = places(stage)
        doomed = all(b":revoked" in (stage.do("HGET", f"{PREFIX}counts", each) or b"") for each in names)
        return doomed and all("held:r" in found.get(each, ()) for each in names)

    return taken


def are_alive(stage: Stage) -> bool:
    found, left = places(stage), stage.do("HKEYS", f"{PREFIX}buried")
    ready = {"k5": ["ready:2"], "k6": ["ready:0"]}
    keys = stage.do("EXISTS", f"{PREFIX}r:k5", f"{PREFIX}r:k6", f"{PREFIX}notes")
    return {each: sorted(set(found.get(each, ()))) for each in ready} == ready and keys == 0 and left == []


def are_gone(stage: Stage) -> bool:
    left = [stage.do("HEXISTS", PREFIX + name, "k5") for name in ("jobs", "counts", "notes", "buried")]
    return left == [0] * 4 and "k5" not in places(stage) and stage.do("GET", f"{PREFIX}r:k5") == b"r"


def is_resumed(stage: Stage) -> bool:
    return bool(stage.do("EXISTS", f"{PREFIX}paused") == 0 and stage.do("LLEN", f"{PREFIX}resumed") >= 2)


SCENARIOS = {
    "revoke": Scenario(
        "revoke", everywhere, ["r", LEASE, "r1", "k0", "k2", "k5"], 8, are_taken("r1", "k0", "k2")
    ),
    "purge": Scenario("purge", everywhere, ["r", LEASE, 100, ROOM, 0], 8, are_taken("r1", "r2", "k0", "k2")),
    "revive": Scenario("revive", buried, ["k5", "k6"], 13, are_alive),
    "discard": Scenario("discard", buried, ["k5", "k9"], 6, are_gone),
    "pause": Scenario("pause", everywhere, [1], 3, lambda stage: stage.do("EXISTS", f"{PREFIX}paused") == 1),
    "resume": Scenario("pause", paused, [0], 4, is_resumed),
}  # fmt: skip


@pytest.mark.parametrize("case", SCENARIOS.values(), ids=SCENARIOS)
def test_a_script_cut_before_any_write_loses_no_job_and_its_repeat_converges(stage: Stage, case: Scenario) -> None:
    cuts, wrong = cut_everywhere(stage, case)
    assert wrong == []
    assert cuts >= case.writes


@pytest.mark.parametrize("script", ["revoke", "purge"])
def test_a_place_that_is_left_before_the_lease_loses_jobs(stage: Stage, script: str) -> None:
    def reordered(text: str) -> str:
        lease = "seize.take(prefix, session, lease, taken)\n"
        assert text.count(f"\n{lease}") == text.count("\nreturn answer\n") == 1
        return text.replace(f"\n{lease}", "\n").replace("\nreturn answer\n", f"\n{lease}return answer\n")

    _, wrong = cut_everywhere(stage, SCENARIOS[script], reordered)
    for name in ("r1", "k0", "k2"):  # it was ready, delayed, parked
        assert any(f"{name} has no place" in each for each in wrong), wrong


def test_a_dead_letter_that_is_out_of_its_list_before_it_is_ready_is_lost(stage: Stage) -> None:
    def reordered(text: str) -> str:
        early = "    redis.call('ZREM', prefix .. 'dead', id)\n"
        place = "    redis.call('RPUSH', prefix .. 'ready:' .. level, id)\n"
        assert text.count(early) == text.count(place) == 1
        return text.replace(early, "").replace(place, early + place)

    _, wrong = cut_everywhere(stage, SCENARIOS["revive"], reordered)
    assert any("k5 has no place" in each for each in wrong), wrong


@pytest.mark.parametrize("key", ["void", "void:live", "counts", "notes", "sessions", "dead", "paused"])
def test_a_key_of_a_wrong_type_is_named(stage: Stage, broker: RedisBroker, key: str) -> None:
    broker.send(jobs("job", "other"))
    stage.do("LPUSH", PREFIX + key, "x") if key != "sessions" else stage.do("SET", PREFIX + key, "x")
    verbs: list[Callable[[], object]] = [
        lambda: broker.job_store.revoke("r", [("job", QUEUE)], 10.0),
        lambda: broker.job_store.jobs(QUEUE, "dead", "", 10),
        lambda: broker.job_store.jobs(QUEUE, "ready", "", 10),
        lambda: stage.run("receive", "s1", 1, 1, ROOM),
    ]
    said = []
    for verb in verbs:
        try:
            verb()
        except BrokerError as error:
            said.append(f"key '{PREFIX}{key}' is a" in str(error))
    assert (said != []) == (key != "paused")
    assert all(said)
    assert not orphans(stage)


# --- each protection is needed


def one(stage: Stage, session: str = "s1", number: int = 1) -> Delivery:
    """The only job, received."""
    (found,) = stage.receive(session, number)
    return found


def _doom_outlives_a_retry(stage: Stage) -> bool:
    held_job = one(stage)
    stage.run("revoke", "r", LEASE, "job")
    stage.settle("s1", Settlement(held_job, "retry", delay=60.0, counts=Counts(retries=1)))
    return bool(stage.run("receive", "s2", 1, 1, ROOM)[5:] == [b"1:0:0:revoked-"])


def _doom_outlives_the_end_of_its_session(stage: Stage) -> bool:
    one(stage)
    stage.run("close", "s1", 200, LEASE, "job", "timeout")
    return bool(stage.run("receive", "s2", 1, 1, ROOM)[5:] == [b"0:0:0:timeout-"])


def _a_revoked_job_is_given_to_nobody_else(stage: Stage) -> bool:
    stage.send(Job("other", QUEUE, b"E"))
    stage.run("revoke", "r", LEASE, "job")
    return [each.id for each in stage.receive("s1", 1)] == ["other"]


def _an_ended_session_revokes_nothing(stage: Stage) -> bool:
    stage.run("heartbeat", LEASE, 1, "r", b"")
    stage.run("close", "r", 200, LEASE)
    return bool(stage.run("revoke", "r", LEASE, "job") == [b"dead"])


def _only_its_holder_notes(stage: Stage) -> bool:
    one(stage)
    return bool(stage.run("note", "s2", "job", "9:1", b"forged") == [0])


def _nobody_receives_while_paused(stage: Stage) -> bool:
    stage.run("pause", 1)
    return bool(stage.run("receive", "s1", 1, 1, ROOM) == [b"paused"])


def _notes_go_with_their_jobs(stage: Stage) -> bool:
    held_job = one(stage)
    stage.run("note", "s1", "job", "9:1", b"note")
    stage.settle("s1", Settlement(held_job, "end"))
    return not stage.do("EXISTS", f"{PREFIX}notes")


def _revoked_to_the_end(stage: Stage) -> None:
    """Before another job waits a void entry of one that has ended, and been forgotten."""
    stage.send(Job("other", QUEUE, b"E"))
    stage.run("revoke", "r", LEASE, "job")
    stage.settle("r", Settlement(Delivery("job", QUEUE, 9, 1, b"E"), "end"))
    stage.do("DEL", f"{PREFIX}r:job")


def _nobody_is_asked_about_entries_without_jobs(stage: Stage) -> bool:
    _revoked_to_the_end(stage)
    return stage.do("SMEMBERS", f"{PREFIX}void") == [b"job"] and not stage.do("EXISTS", f"{PREFIX}void:live")


def _are_given_out_once(stage: Stage, *names: str) -> bool:
    given = [each.id for each in stage.receive("s1", 2)]
    return given == [*names] and not stage.do("EXISTS", f"{PREFIX}void", f"{PREFIX}void:live")


def _sent_again(stage: Stage) -> bool:
    _revoked_to_the_end(stage)
    stage.send(Job("job", QUEUE, b"E"))
    return _are_given_out_once(stage, "other", "job")


def _admitted_again(stage: Stage) -> bool:
    _revoked_to_the_end(stage)
    stage.run("admit", 0, "job", 9, 0, b"E", "", "", "0 0 1", "")
    return _are_given_out_once(stage, "other", "job")


def _followed_again(stage: Stage) -> bool:
    parent = one(stage)
    stage.send(Job("job2", QUEUE, b"E"), Job("other", QUEUE, b"E"))
    stage.run("revoke", "r", LEASE, "job2")
    stage.settle("r", Settlement(Delivery("job2", QUEUE, 9, 1, b"E"), "end"))
    stage.do("DEL", f"{PREFIX}r:job2")
    stage.settle("s1", Settlement(parent, "end", follow_ups=(Job("job2", QUEUE, b"E"),)))
    return _are_given_out_once(stage, "other", "job2")


@pytest.mark.parametrize(
    ("script", "protection", "without", "holds"),
    [
        ("settle", "elseif doomed == '' then", "elseif true then", _doom_outlives_a_retry),
        ("settle", " and doomed == '' then", " then", _doom_outlives_a_retry),
        ("close", ", 0, told[id]", ", 0, ''", _doom_outlives_the_end_of_its_session),
        ("receive", " or skipped and skipped[i]", "", _a_revoked_job_is_given_to_nobody_else),
        ("revoke", "'SADD', prefix .. 'void:live'", "'SADD', prefix .. 'void'", _a_revoked_job_is_given_to_nobody_else),
        ("settle", "if redis.call('EXISTS', live) == 1", "if false", _nobody_is_asked_about_entries_without_jobs),
        ("send", "revived(prefix, ids)\n  end", "end", _sent_again),
        ("admit", "revived(prefix, fresh)", "", _admitted_again),
        ("settle", "revived(place, { id })", "", _followed_again),
        ("revoke", "if #entries > 0 and not alive", "if false and not alive", _an_ended_session_revokes_nothing),
        ("note", "redis.call('HGET', prefix .. 'held:' .. session, id)", "ARGV[i + 1]", _only_its_holder_notes),
        ("receive", "if redis.call('EXISTS', prefix .. 'paused') == 1", "if false", _nobody_receives_while_paused),
        ("settle", "redis.call('HDEL', prefix .. 'notes', unpack(ends))", "", _notes_go_with_their_jobs),
    ],
)
def test_each_protection_holds_and_is_missed_when_it_is_off(
    stage: Stage, script: str, protection: str, without: str, holds: Callable[[Stage], bool]
) -> None:
    def altered(text: str) -> str:
        assert text.count(protection) == 1
        return text.replace(protection, without)

    for expected in (True, False):
        stage.fresh()
        stage.send(Job("job", QUEUE, b"E"))
        assert holds(stage) == expected
        stage.alter(script, altered)


# --- void entries


async def counted(broker: RedisBroker) -> tuple[int, int, bytes | None]:
    """How many jobs are ready and running, and the oldest ready one."""
    (found,) = await broker.counts([QUEUE])
    await broker.aclose()
    return found.ready, found.running, found.oldest


async def test_the_entry_of_a_job_that_was_revoked_counts_no_more_and_goes_when_it_is_met(
    stage: Stage, broker: RedisBroker
) -> None:
    broker.send([Job(each, QUEUE, each.encode()) for each in "abc"])
    broker.job_store.revoke("r", [("a", QUEUE), ("b", QUEUE)], 10.0)
    assert stage.do("LLEN", f"{PREFIX}ready:9") == 3
    assert await counted(broker) == (1, 2, b"c")
    assert [each.id for each in broker.job_store.jobs(QUEUE, "ready", "", 10)] == ["c"]
    assert [each.id for each in stage.receive("s1", 1)] == ["c"]
    assert stage.do("EXISTS", f"{PREFIX}void", f"{PREFIX}ready:9") == 0


async def test_a_job_that_is_revoked_given_back_and_revoked_again_is_counted_and_given_out_once(
    stage: Stage, broker: RedisBroker
) -> None:
    broker.send(jobs("job", "other"))
    for _ in range(3):
        session = new_session()
        broker.job_store.revoke(session, [("job", QUEUE)], 10.0)
        assert (await counted(broker))[:2] == (1, 1)
        broker.job_store.end(session, [])
        assert (await counted(broker))[:2] == (2, 0)
    assert sorted(each.id for each in stage.receive("s1", 1)) == ["job", "other"]
    assert (await counted(broker))[:2] == (0, 2)


async def test_an_id_that_is_sent_again_behind_its_void_entry_is_given_out_once(
    stage: Stage, broker: RedisBroker
) -> None:
    broker.send(jobs("job", "other"))
    (found,) = broker.job_store.revoke("r", [("job", QUEUE)], 10.0)
    assert found.delivery is not None
    broker.job_store.end("r", [Settlement(found.delivery, "end", record=b"r", ttl=60.0)])
    stage.do("DEL", f"{PREFIX}r:job")
    broker.send(jobs("job"))
    assert (await counted(broker))[0] == 2
    assert [each.id for each in stage.receive("s1", 1)] == ["other", "job"]


def test_a_list_of_nothing_but_void_entries_is_deleted(stage: Stage, broker: RedisBroker) -> None:
    broker.send([*jobs("a", "b"), *jobs("c", priority=5)])
    broker.job_store.revoke("r", [(each, QUEUE) for each in "abc"], 10.0)
    assert stage.do("EXISTS", f"{PREFIX}void", f"{PREFIX}ready:9", f"{PREFIX}ready:4") == 0


async def test_a_receiver_looks_at_some_thousand_void_entries_at_most_and_wakes_the_next(
    stage: Stage, broker: RedisBroker
) -> None:
    names = [f"{number:04}" for number in range(5000)]
    broker.send(jobs(*names, "last"))
    for start in range(0, 5000, 1000):
        broker.job_store.revoke("r", [(each, QUEUE) for each in names[start : start + 1000]], 10.0)
    stage.do("DEL", f"{PREFIX}wake")
    assert stage.receive("s1", 1) == []
    assert stage.do("LLEN", f"{PREFIX}wake") == 1
    assert [each.id for each in stage.receive("s1", 2)] == ["last"]


def test_a_purge_drops_what_is_void(stage: Stage, broker: RedisBroker) -> None:
    broker.send(jobs("a", "b", "c"))
    broker.job_store.revoke("r", [("a", QUEUE)], 10.0)
    assert [each.id for each in broker.job_store.purge("p", QUEUE, 1, 10.0)] == ["b"]
    assert [each.id for each in broker.job_store.purge("p", QUEUE, 1, 10.0)] == ["b"]  # a repeat
    assert [each.id for each in broker.job_store.purge("another", QUEUE, 5, 10.0)] == ["c"]
    assert stage.do("EXISTS", f"{PREFIX}void", f"{PREFIX}ready:9") == 0


def test_a_purge_and_a_list_of_large_jobs_go_in_several_steps(
    stage: Stage, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_operations, "MAX_ANSWERED_BYTES", 250)
    names = [f"{number}" for number in range(7)]
    broker.send([Job(each, QUEUE, b"x" * 100) for each in names])
    assert [each.id for each in broker.job_store.jobs(QUEUE, "ready", "", 100)] == names
    assert [each.id for each in broker.job_store.purge("p", QUEUE, 5, 10.0)] == names[:5]
    assert stage.do("HLEN", f"{PREFIX}held:p") == 6
    assert [each.id for each in broker.job_store.purge("another", QUEUE, 5, 10.0)] == names[5:]


def test_a_revoke_whose_answer_was_lost_is_answered_again(broker: RedisBroker) -> None:
    broker.send(jobs("job"))
    (first,) = broker.job_store.revoke("r", [("job", QUEUE)], 10.0)
    (again,) = broker.job_store.revoke("r", [("job", QUEUE)], 10.0)
    assert first.delivery is not None
    assert again.delivery is not None
    assert (again.place, again.delivery.number) == ("running", 1)
    assert broker.job_store.end("r", [Settlement(again.delivery, "end")]) == [True]


# --- pauses


async def test_while_a_queue_is_paused_nothing_wakes_who_waits_and_its_end_wakes_all(
    stage: Stage, broker: RedisBroker, redis_url: str
) -> None:
    await broker.job_store.apause(QUEUE, paused=True)
    others = [RedisBroker(redis_url, PATIENT, lambda: stage.now) for _ in range(2)]
    waiting = [
        asyncio.create_task(each.receive(session, [QUEUE], 1, wait=60.0))
        for each, session in zip(others, ("s1", "s2"), strict=True)
    ]
    await eventually(lambda: stage.do("INFO", "clients").count(b"blocked_clients:2"))
    for name in ("a", "b"):
        await broker.asend(jobs(name))
        await asyncio.sleep(SETTLING_SECONDS)
        assert stage.do("LLEN", f"{PREFIX}wake") == 1  # for nobody takes it
    await broker.job_store.apause(QUEUE, paused=False)
    found = await soon(asyncio.gather(*waiting))
    assert sorted(each.id for deliveries in found for each in deliveries) == ["a", "b"]
    assert 0 <= stage.do("PTTL", f"{PREFIX}resumed") <= 10_000 or not stage.do("EXISTS", f"{PREFIX}resumed")
    for each in (broker, *others):
        await each.aclose()


# --- a full server, and one that forgot


async def test_a_full_server_lets_jobs_be_stopped(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis(config=("maxmemory-policy noeviction",)))
    stage, broker = Stage(server.url), RedisBroker(server.url, PATIENT)
    await broker.heartbeat([Beat("s")], [QUEUE], 10.0, opening=True)
    broker.send(jobs("a", "b", "c", "d"))
    held = await broker.receive("s", [QUEUE], 2, wait=0)
    store = broker.job_store
    stage.do("CONFIG", "SET", "maxmemory", 1)
    assert await store.note("s", [(held[0], b"note")]) == [True]
    assert [each.place for each in store.revoke("r", [("a", QUEUE), ("c", QUEUE)], 10.0)] == ["running", "ready"]
    assert [each.id for each in store.purge("p", QUEUE, 10, 10.0)] == ["d"]
    assert await store.aend("r", []) == []
    assert await broker.settle("s", [Settlement(each, "dead", record=b"r", ttl=60.0) for each in held]) == [True, True]
    assert store.revive(QUEUE, ["a"]) == [True]
    assert store.discard(QUEUE, ["b"]) == [True]
    await store.apause(QUEUE, paused=True)
    assert store.paused([QUEUE]) == [True]
    with pytest.raises(BrokerFull):
        broker.mailbox.tell("box", [b"message"], 60.0)
    await broker.aclose()
    broker.close()
    stage.close()


async def test_revokes_that_a_server_acknowledged_and_lost_are_said_again(launch: Callable[[Service], Server]) -> None:
    server = launch(Redis())  # it keeps what was saved: a restart loses what it has acknowledged since
    broker, stage = RedisBroker(server.url, PATIENT), Stage(server.url)
    await broker.heartbeat([Beat("s")], [QUEUE], 60.0, opening=True)
    broker.send(jobs("running", "revoked", "purged", "new"))
    await broker.receive("s", [QUEUE], 1, wait=0)
    stage.do("SAVE")
    found = await broker.job_store.arevoke("r", [("running", QUEUE), ("revoked", QUEUE)], 10.0)
    assert [each.place for each in found] == ["running", "ready"]
    purged = await broker.job_store.apurge("p", QUEUE, 1, 10.0)
    for session, deliveries in (("r", [each.delivery for each in found]), ("p", purged)):
        ends = [Settlement(each, "end", record=b"r", ttl=60.0) for each in deliveries if each is not None]
        assert await broker.job_store.aend(session, ends) == [True]
    server.kill()
    server.start()
    assert [(await broker.alocate(each, QUEUE)).place for each in ("revoked", "purged", "new")] == [
        "ended",
        "ended",
        "ready",
    ]
    assert (await broker.alocate("running", QUEUE)).doom == "revoked"
    await broker.aclose()
    broker.close()
    stage.close()


# --- boxes


def tell(stage: Stage, token: str) -> int:
    return int(stage.engine.call([stage.calls.beside("tell", LETTERS, (60_000, token, b"one", b"two"))])[0])


def test_messages_that_are_told_twice_by_one_call_are_there_once_for_its_token_is_known(
    stage: Stage, broker: RedisBroker
) -> None:
    assert [tell(stage, "x"), tell(stage, "x"), tell(stage, "y")] == [2, 0, 2]
    assert [each.message for each in broker.mailbox.hear("box", 0, 0.0)] == [b"one", b"two"] * 2
    stage.alter("tell", lambda text: text.replace("if redis.call('LPOS', told, token) then", "if false then"))
    assert tell(stage, "x") == 2


def test_messages_are_trimmed_when_the_time_of_those_at_the_head_is_over(stage: Stage, broker: RedisBroker) -> None:
    for number in range(40):
        broker.mailbox.tell("box", [b"%d" % number], 1.0)
    stage.now += 2.0
    broker.mailbox.tell("box", [b"new"], 60.0)
    assert stage.do("XLEN", LETTERS) == 1
    assert 50_000 < stage.do("PTTL", LETTERS) <= 60_000
    broker.mailbox.tell("box", [b"brief"], 1.0)
    assert stage.do("PTTL", LETTERS) > 50_000


async def test_whoever_hears_goes_on_when_the_line_is_lost(stage: Stage, broker: RedisBroker) -> None:
    waiting = [
        asyncio.create_task(broker.mailbox.ahear("box", 0, 60.0)),
        asyncio.create_task(asyncio.to_thread(broker.mailbox.hear, "box", 0, 60.0)),
    ]
    await eventually(lambda: stage.do("INFO", "clients").count(b"blocked_clients:2"))
    stage.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await broker.mailbox.atell("box", [b"message"], 60.0)
    for heard in await soon(asyncio.gather(*waiting)):
        assert [each.message for each in heard] == [b"message"]
    await broker.aclose()
