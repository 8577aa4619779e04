"""Each protection inside the engines is shown to be needed: without it the promise that it keeps is broken.

A promise is told once, in words of the contract, and must hold on Redis and on SQLite; then one expression of a script
or a statement is replaced, and it must not hold any more. What only one engine has is in its own tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.conformance.redis_stage import Scenario, cut_everywhere, scenarios
from tests.conformance.redis_stage import Stage as Scripts
from tests.patient import PATIENT
from umbel.brokers.redis import RedisBroker
from umbel.brokers.redis.calls import FOLDER
from umbel.brokers.sqlite import SqliteBroker, operations, sessions
from umbel.contracts.broker import Beat, Ended, SessionDead, Settlement
from umbel.contracts.powers import Record
from umbel.engines.redis_command import Script, load
from umbel.engines.sqlite import Durability, Lane, Work
from umbel.engines.sqlite_file import File
from umbel.execution.executor import Executor, Finished
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.stores.redis import RedisResultStore
from umbel.stores.sqlite import SqliteStore
from umbel.testing import Clock
from umbel.wire.envelope import Envelope, encode

QUEUE = "q"
QUEUES = [QUEUE]
LEASE = 10.0
CALL = encode(Envelope("task"))
MAX_MOVED = 200


class Engine(Protocol):
    """What the promises are made of."""

    clock: Clock

    def client(self) -> Any:
        """Another broker of the same queue: it counts its receives from one."""

    def store(self) -> Any:
        """The store of the records."""


class Stage:
    """One engine, one client of it, and short words for its verbs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.broker = engine.client()

    def send(self, *names: str) -> None:
        self.broker.send([Job(name, QUEUE, CALL) for name in names])

    async def open(self) -> str:
        session = new_session()
        assert await self.broker.heartbeat([Beat(session)], QUEUES, LEASE, opening=True) == [True]
        return session

    async def take(self, session: str, limit: int = 1) -> list[Delivery]:
        received: list[Delivery] = await self.broker.receive(session, QUEUES, limit, wait=0)
        return received

    async def started(self) -> tuple[str, Delivery]:
        self.send("job")
        session = await self.open()
        (delivery,) = await self.take(session)
        return session, delivery

    async def settle(self, session: str, delivery: Delivery, kind: Any = "end", record: bytes = b"record") -> bool:
        settlement = Settlement(delivery, kind, record=record if kind in ("end", "dead") else b"", ttl=60.0)
        (ours,) = await self.broker.settle(session, [settlement])
        return bool(ours)

    async def pass_time(self, seconds: float, keeper: str) -> None:
        """Let time go by while one session beats, so that it is no outage."""
        for _ in range(round(seconds)):
            self.engine.clock.advance(1.0)
            await self.broker.heartbeat([Beat(keeper)], QUEUES, LEASE)

    def place(self, name: str) -> str:
        return str(self.broker.locate(name, QUEUE).place)


# --- promises


async def a_verdict_of_an_earlier_delivery_is_refused(stage: Stage) -> bool:
    session, old = await stage.started()
    await stage.settle(session, old, "release")
    await stage.take(session)
    return not await stage.settle(session, old, "retry") and stage.place("job") == "running"


async def a_dead_session_settles_nothing(stage: Stage) -> bool:
    stage.send(*(f"{number:03}" for number in range(MAX_MOVED + 1)))
    session = await stage.open()
    held = {each.id: each for each in await stage.take(session, MAX_MOVED + 1)}
    await stage.broker.reclaim(QUEUES, LEASE, [Ended(session)])  # at most 200 a call: one is still held
    (left,) = [each for each in held.values() if stage.place(each.id) == "running"]
    return not await stage.settle(session, left)


async def a_dead_session_is_not_revived(stage: Stage) -> bool:
    session, _ = await stage.started()
    await stage.broker.reclaim(QUEUES, LEASE, [Ended(session)])
    return bool((await stage.broker.heartbeat([Beat(session)], QUEUES, LEASE)) == [False])


async def a_job_that_kills_its_process_is_buried(stage: Stage) -> bool:
    stage.send("job")
    executor = Executor({}, "host")
    for _ in range(6):
        session = await stage.open()
        (delivery,) = await stage.take(session)
        prepared = executor.prepare(delivery, 0.0)
        if isinstance(prepared, Finished) and delivery.counts.crashes >= 3:
            return await stage.settle(session, delivery, "dead")
        await stage.broker.reclaim(QUEUES, LEASE, [Ended(session, ("job",))])
    return False


async def a_marked_job_whose_session_lapses_is_charged_a_crash(stage: Stage) -> bool:
    keeper = await stage.open()
    session, delivery = await stage.started()
    assert await stage.broker.mark(session, delivery)
    await stage.pass_time(LEASE + 2, keeper)
    assert (await stage.broker.reclaim(QUEUES, LEASE)).returned == 1
    (again,) = await stage.take(keeper)
    return bool(again.counts == Counts(crashes=1))


async def a_job_whose_delivery_was_lost_comes_back(stage: Stage) -> bool:
    session, _ = await stage.started()
    await stage.broker.reconcile(session, QUEUES, [])
    return [each.id for each in await stage.take(session)] == ["job"]


async def a_receive_that_was_given_up_hands_out_nothing(stage: Stage) -> bool:
    stage.send("1", "2")
    session, late = await stage.open(), stage.engine.client()
    await stage.take(session)
    return bool(await late.receive(session, QUEUES, 1, wait=0) == [])


async def a_session_that_falls_silent_loses_its_jobs(stage: Stage) -> bool:
    keeper = await stage.open()
    await stage.started()
    await stage.pass_time(LEASE + 2, keeper)
    return bool((await stage.broker.reclaim(QUEUES, LEASE)).returned == 1)


async def a_silence_of_all_costs_nobody_its_jobs(stage: Stage) -> bool:
    session, delivery = await stage.started()
    stage.engine.clock.advance(3 * LEASE)
    other = await stage.open()  # the first to come back
    stage.engine.clock.advance(1.0)
    await stage.broker.heartbeat([Beat(other)], QUEUES, LEASE)
    await stage.broker.reclaim(QUEUES, LEASE)
    return await stage.settle(session, delivery)


async def a_clock_set_back_keeps_no_session_alive_for_ever(stage: Stage) -> bool:
    keeper = await stage.open()
    await stage.started()
    stage.engine.clock.advance(-3600.0)
    await stage.broker.reclaim(QUEUES, LEASE)
    await stage.pass_time(2 * LEASE, keeper)
    return bool((await stage.broker.reclaim(QUEUES, LEASE)).returned == 1)


async def the_first_record_stays(stage: Stage) -> bool:
    session, delivery = await stage.started()
    store = stage.engine.store()
    assert await store.put([Record("job", QUEUE, b"first", 60.0)]) == [True]
    await stage.settle(session, delivery, record=b"second")
    return bool(store.fetch("job", QUEUE) == b"first")


async def a_job_that_has_ended_is_not_made_again(stage: Stage) -> bool:
    session, delivery = await stage.started()
    await stage.settle(session, delivery)
    stage.send("job")
    return await stage.take(session) == []


async def a_job_that_is_there_is_not_made_again(stage: Stage) -> bool:
    session, _ = await stage.started()
    try:
        stage.send("job")
    except Exception:  # noqa: BLE001 - whatever it is, a repeated send must not fail
        return False
    return await stage.take(session) == []


async def a_job_that_comes_back_is_in_front(stage: Stage) -> bool:
    session, _ = await stage.started()
    stage.send("later")
    await stage.broker.reclaim(QUEUES, LEASE, [Ended(session)])
    return [each.id for each in await stage.take(await stage.open(), 2)] == ["job", "later"]


# --- the engines, sound and damaged


class OnRedis:
    """A real server; *damage* says which text of which scripts is replaced by what."""

    def __init__(self, url: str, damage: Damage | None = None) -> None:
        self.clock = Clock()
        self._url = url
        self._damage = damage
        self._closing = AsyncExitStack()

    def client(self) -> RedisBroker:
        broker = RedisBroker(self._url, PATIENT, self.clock)
        self._closing.callback(broker.close)
        self._closing.push_async_callback(broker.aclose)
        for name in self._damage.scripts if self._damage else ():
            broker._calls.scripts[name] = Script(name, self._damage.apply(load(FOLDER, name).text))  # type: ignore[union-attr]
        return broker

    def store(self) -> RedisResultStore:
        store = RedisResultStore(self._url, PATIENT)
        self._closing.callback(store.close)
        self._closing.push_async_callback(store.aclose)
        return store

    async def close(self) -> None:
        await self._closing.aclose()


class OnSqlite:
    """A real file."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self._url = f"sqlite:///{path}"
        self._closing = AsyncExitStack()

    def client(self) -> SqliteBroker:
        broker = SqliteBroker(File(self._url, "broker_url", 30.0), self.clock)
        self._closing.callback(broker.close)
        self._closing.push_async_callback(broker.aclose)
        return broker

    def store(self) -> SqliteStore:
        store = SqliteStore(File(self._url, "result_backend", 30.0), self.clock)
        self._closing.callback(store.close)
        self._closing.push_async_callback(store.aclose)
        return store

    async def close(self) -> None:
        await self._closing.aclose()


@dataclass(frozen=True)
class Damage:
    """In *scripts* the text *sound* becomes *broken*."""

    scripts: tuple[str, ...]
    sound: str
    broken: str

    def apply(self, text: str) -> str:
        assert text.count(self.sound) == 1, f"{self.sound!r} is not there once: this test shows nothing"
        return text.replace(self.sound, self.broken)


@dataclass(frozen=True)
class Twin:
    """A promise and, by engine, the damage that breaks it; *statements* are the ones of SQLite's."""

    promise: Callable[[Stage], Awaitable[bool]]
    redis: Damage
    statements: dict[str, str]
    sqlite: Damage

    def __str__(self) -> str:
        return self.promise.__name__


SEND, RECEIVE, SETTLE = operations.SEND, operations.RECEIVE, operations.SETTLE
HEARTBEAT, RECLAIM = sessions.HEARTBEAT, sessions.RECLAIM
HOLD = "hold = now + math.max(lease / 2, 3000)"

TWINS = [
    Twin(
        a_verdict_of_an_earlier_delivery_is_refused,
        Damage(("settle",), "tags[i] == tag and ", ""),
        SETTLE,
        Damage(("move",), "and number = ?3", "and ?3 = ?3"),
    ),
    Twin(
        a_dead_session_settles_nothing,
        Damage(("settle",), "if not alive(prefix, session) then", "if false then"),
        RECEIVE,
        Damage(("session",), "ended is null", "true"),
    ),
    Twin(
        a_dead_session_is_not_revived,
        Damage(("heartbeat",), "open = alive(prefix, session)", "open = true"),
        HEARTBEAT,
        Damage(("renew",), "and ended is null", ""),
    ),
    Twin(
        a_job_that_kills_its_process_is_buried,
        Damage(("close",), "told[id] == '' and 1 or 0", "0"),
        RECLAIM,
        Damage(("back",), "crashes = crashes + ?1", "crashes = crashes + 0 * ?1"),
    ),
    Twin(
        a_marked_job_whose_session_lapses_is_charged_a_crash,
        Damage(("mark",), ".. 'q')", ".. '-')"),
        SETTLE,
        Damage(("mark",), "marked = 1", "marked = 0"),
    ),
    Twin(
        a_job_whose_delivery_was_lost_comes_back,
        Damage(("reconcile",), "not known[id .. ' ' .. tag]", "false"),
        RECLAIM,
        Damage(("held",), "state = 1", "state = 9"),
    ),
    Twin(
        a_receive_that_was_given_up_hands_out_nothing,
        Damage(("receive",), "if number <= ", "if 0 > "),
        RECEIVE,
        Damage(("received",), "received = ?1", "received = 0 * ?1"),
    ),
    Twin(
        a_session_that_falls_silent_loses_its_jobs,
        Damage(("reclaim",), "now >= hold and now or 0", "0"),
        RECLAIM,
        Damage(("sessions",), "ended is null", "ended is not null"),
    ),
    Twin(
        a_silence_of_all_costs_nobody_its_jobs,
        Damage(("heartbeat", "reclaim"), HOLD, "hold = 0"),
        RECLAIM,
        Damage(("note",), "values (?1, ?2, ?3)", "values (?1, ?2, 0 * ?3)"),
    ),
    Twin(
        a_clock_set_back_keeps_no_session_alive_for_ever,
        Damage(("reclaim",), "redis.call('ZADD', sessions, now + lease, session)", ""),
        RECLAIM,
        Damage(("cut",), "and until > ?2", "and until > ?2 and false"),
    ),
    Twin(
        the_first_record_stays,
        Damage(("settle",), "'NX', ", ""),
        SETTLE,
        Damage(("record",), "where expires <= ?5", "where ?5 = ?5"),
    ),
    Twin(
        a_job_that_has_ended_is_not_made_again,
        Damage(("send",), " and not (some_ended and redis.call('EXISTS', records[i]) == 1)", ""),
        SEND,
        Damage(("insert",), "expires > ?8", "expires > ?8 and false"),
    ),
    Twin(
        a_job_that_is_there_is_not_made_again,
        Damage(("send",), "not known[i] and ", ""),
        SEND,
        Damage(("insert",), "do nothing", "do update set state = 0"),
    ),
    Twin(
        a_job_that_comes_back_is_in_front,
        Damage(("close",), "redis.call('LPUSH', prefix .. 'ready:'", "redis.call('RPUSH', prefix .. 'ready:'"),
        RECLAIM,
        Damage(("back",), "back = 1", "back = 1, position = position + 1000000000"),
    ),
]


async def holds(promise: Callable[[Stage], Awaitable[bool]], engine: Engine) -> bool:
    """Whether *promise* is kept; a session that is dead against all promises breaks it as well."""
    try:
        return await promise(Stage(engine))
    except SessionDead:
        return False


@pytest.mark.parametrize("twin", TWINS, ids=str)
async def test_on_redis_a_promise_is_kept_and_broken_without_its_protection(twin: Twin, redis_url: str) -> None:
    sound = OnRedis(redis_url)
    assert await holds(twin.promise, sound)
    scripts = Scripts(redis_url)
    scripts.do("FLUSHALL")
    scripts.close()
    damaged = OnRedis(redis_url, twin.redis)
    assert not await holds(twin.promise, damaged)
    await sound.close()
    await damaged.close()


@pytest.mark.parametrize("twin", TWINS, ids=str)
async def test_on_sqlite_a_promise_is_kept_and_broken_without_its_protection(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = OnSqlite(tmp_path / "sound.db")
    assert await holds(twin.promise, sound)
    await sound.close()
    for name in twin.sqlite.scripts:
        monkeypatch.setitem(twin.statements, name, twin.sqlite.apply(twin.statements[name]))
    damaged = OnSqlite(tmp_path / "damaged.db")
    assert not await holds(twin.promise, damaged)
    await damaged.close()


# --- the new place before the old one is left


@pytest.fixture
def scripts(redis_url: str) -> Iterator[Scripts]:
    scripts = Scripts(redis_url)
    yield scripts
    scripts.close()


def scenario(name: str) -> Scenario:
    return next(each for each in scenarios() if each.script == name)


REORDERED = [
    # What is written first without the protection, and the line before which it then comes.
    ("receive", "redis.call('LTRIM', list, looked_at, -1)", "    if #places > 2 then"),
    ("send", "redis.call('HSET', jobs, unpack(envelopes))", "  for level, new in pairs(ready) do"),
    ("reconcile", "    redis.call('HDEL', held, id)", "    if back.is_there(prefix, id) then"),
    ("close", "      redis.call('HDEL', held, id)", "      if back.is_there(prefix, id) then"),
    ("reclaim", "  redis.call('ZREM', prefix .. 'delayed', unpack(due))", "  local places = {}"),
    ("unpark", "  redis.call('LTRIM', list, #members, -1)", "for _, member in ipairs(members) do"),
]


@pytest.mark.parametrize(("script", "early", "before"), REORDERED, ids=[script for script, *_ in REORDERED])
def test_on_redis_a_place_that_is_left_before_the_new_one_is_taken_loses_jobs(
    scripts: Scripts, script: str, early: str, before: str
) -> None:
    def reordered(text: str) -> str:
        assert text.count(early) == 1
        assert text.count(f"\n{before}") == 1
        if script == "unpark":
            early_too = "if #members > 0 then redis.call('LTRIM', list, #members, -1) end"
            return text.replace(early, "").replace(f"\n{before}", f"\n{early_too}\n{before}")
        return text.replace(early, "").replace(f"\n{before}", f"\n{early}\n{before}")

    _, wrong = cut_everywhere(scripts, scenario(script))
    assert wrong == []
    _, wrong = cut_everywhere(scripts, scenario(script), reordered)
    assert any("has no place" in each for each in wrong), wrong


async def test_on_sqlite_a_settle_that_fails_half_way_is_undone_and_is_not_without_its_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTLE, "record", "select fails(?1, ?2, ?3, ?4, ?5)")  # after the job was taken out
    sound = OnSqlite(tmp_path / "sound.db")
    assert await half_way(Stage(sound)) == "running"
    await sound.close()
    damaged = OnSqlite(tmp_path / "damaged.db")
    monkeypatch.setattr(Lane, "_transact", without_transaction)
    assert await half_way(Stage(damaged)) == "unknown"
    await damaged.close()


def without_transaction(lane: Lane, batch: Sequence[Work[Any]], _: Durability) -> None:
    connection = lane._ready()
    for work in batch:
        work.run(connection)


async def half_way(stage: Stage) -> str:
    """Where a job is after the settle that ended it has failed."""
    session, delivery = await stage.started()
    with pytest.raises(Exception, match="fails"):
        await stage.settle(session, delivery)
    return stage.place("job")
