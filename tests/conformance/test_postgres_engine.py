"""PostgreSQL that is away, frozen, refused, emptied or far from idle; who is woken, and who is not."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any, Protocol

import psutil
import psycopg
import pytest

from tests.patient import at_last
from tests.servers import Postgres, Server, Service
from umbel.brokers.postgres import PostgresBroker
from umbel.brokers.postgres.floors import Floors
from umbel.brokers.postgres.operations import Verbs
from umbel.contracts.broker import Beat, Kind, Settlement
from umbel.engines.operation import drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_address import parse
from umbel.engines.postgres_command import Query
from umbel.engines.postgres_connection import SQL as WAKING
from umbel.engines.postgres_connection import connect, greet
from umbel.engines.postgres_listener import Listener, Nap
from umbel.engines.postgres_topics import ring, work
from umbel.engines.postgres_values import Blobs
from umbel.exceptions import BrokerError, BrokerUnavailable, ImproperlyConfigured
from umbel.model.ids import new_id, new_session
from umbel.model.job import Delivery, Job
from umbel.settings import Settings
from umbel.testing.conformance.eventually import eventually, soon

QUEUE = "engine"
LEASE = 60.0
SECONDS = 30.0
AT_ONCE_SECONDS = 15.0

FIRST_MIGRATION = b"""
create table umbel.migration(number integer primary key, at timestamptz not null default now());
insert into umbel.migration(number) values (1)
"""
OLD_JOB = """
insert into umbel.job(id, queue, level, run_at, envelope)
values (gen_random_uuid(), %(queue)s, 0, now() - interval '1 day', 'old')
"""

Launch = Callable[[Service], Server]


class Make(Protocol):
    """Make a client; one with a short deadline for those who are to be kept waiting."""

    def __call__(self, url: str, deadline: float = 60.0) -> PostgresBroker: ...


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[PostgresBroker] = []

    def new(url: str, deadline: float = 60.0) -> PostgresBroker:
        made.append(PostgresBroker(url, Settings(broker_send_deadline=deadline, broker_connection_timeout=deadline)))
        return made[-1]

    yield new
    for broker in made:
        await broker.aclose()
        broker.close()


@contextmanager
def frozen(server: Server) -> Generator[None]:
    """All processes of *server* stand still: their connections stay open."""
    parent = psutil.Process(server.pid)
    parent.suspend()  # first: from then on it starts no other
    processes = [*parent.children(recursive=True), parent]
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # those that clean up come and go
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


async def opened(broker: PostgresBroker) -> str:
    session = new_session()
    assert await broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True) == [True]
    return session


def jobs(number: int = 1) -> list[Job]:
    return [Job(new_id(), QUEUE, b"body") for _ in range(number)]


# --- errors


async def test_a_server_that_is_away_is_named_within_the_deadline_without_its_password(make: Make) -> None:
    broker = make("postgresql://user:secret@127.0.0.1:1/base", 1.0)
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"postgresql://user:\*\*\*@127.0.0.1:1/base .*refused") as sync:
        broker.send(jobs())
    with pytest.raises(BrokerUnavailable, match=r"user:\*\*\*@") as twin:
        await broker.asend(jobs())
    assert 1.5 < time.monotonic() - begun < 15.0
    assert "secret" not in f"{sync.value!r}{twin.value!r}"
    assert "\n" not in str(sync.value)


@pytest.mark.parametrize(
    ("right", "wrong", "reason"), [("a%20secret", "no", "password authentication"), ("/postgres", "/x", "not exist")]
)
async def test_what_will_not_get_better_is_said_at_once(
    make: Make, postgres_url: str, right: str, wrong: str, reason: str
) -> None:
    head, _, tail = postgres_url.rpartition(right)
    broker = make(head + wrong + tail)
    begun = time.monotonic()
    with pytest.raises(BrokerError, match=reason) as refused:
        broker.send(jobs())
    assert not isinstance(refused.value, BrokerUnavailable)
    assert time.monotonic() - begun < AT_ONCE_SECONDS


def test_an_unknown_option_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ImproperlyConfigured, match="nonsense") as refused:
        PostgresBroker("postgresql://user:secret@127.0.0.1/base?nonsense=1", Settings())
    assert "secret" not in str(refused.value)


async def test_a_frozen_server_holds_nobody_longer_than_the_deadline(make: Make, launch: Launch) -> None:
    server = launch(Postgres(("fsync = off",)))
    broker = make(server.url, 1.0)
    await soon(at_last(lambda: asyncio.to_thread(broker.send, jobs())))
    await soon(at_last(lambda: broker.asend(jobs())))
    with frozen(server):
        begun = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="no answer"):
            await asyncio.to_thread(broker.send, jobs())
        with pytest.raises(BrokerUnavailable, match="no answer"):
            await broker.asend(jobs())
        assert time.monotonic() - begun < 15.0
    await soon(at_last(lambda: asyncio.to_thread(broker.send, jobs())))
    await soon(at_last(lambda: broker.asend(jobs())))


async def test_a_server_that_is_killed_is_found_again(make: Make, launch: Launch) -> None:
    server = launch(Postgres(("fsync = off",)))
    broker = make(server.url)
    session = await opened(broker)
    waiting = asyncio.create_task(broker.receive(session, [QUEUE], 1, wait=60))
    await broker.asend([])
    server.kill()
    server.start()
    await broker.asend(jobs())
    found: list[Delivery] = []
    try:
        found = await soon(waiting, SECONDS)
    except BrokerUnavailable:  # the receive itself met the kill; a child reconciles then
        await broker.reconcile(session, [QUEUE], [])
    found = found or await soon(broker.receive(session, [QUEUE], 1, wait=60), SECONDS)
    assert len(found) == 1


async def test_tables_that_somebody_dropped_are_made_again(make: Make, postgres_url: str) -> None:
    broker = make(postgres_url)
    broker.send(jobs())
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("drop schema umbel cascade")
    broker.send(jobs())
    await broker.asend(jobs())
    assert (await broker.counts([QUEUE]))[0].ready == 2


async def test_many_who_come_first_make_the_tables_once(make: Make, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("drop schema if exists umbel cascade")
    await asyncio.gather(*(asyncio.to_thread(make(postgres_url).send, jobs()) for _ in range(8)))
    assert (await make(postgres_url).counts([QUEUE]))[0].ready == 8


async def test_tables_of_the_first_version_are_brought_forward_and_keep_their_jobs(
    make: Make, postgres_url: str
) -> None:
    schema = files("umbel.engines").joinpath("postgres_schema")
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("drop schema if exists umbel cascade")
        admin.execute(b"create schema umbel; " + FIRST_MIGRATION)
        admin.execute(schema.joinpath("0001_first.sql").read_bytes())
        admin.execute(OLD_JOB, {"queue": QUEUE})
    broker = make(postgres_url)
    broker.send(jobs())
    session = await opened(broker)
    received = await broker.receive(session, [QUEUE], 10, wait=SECONDS)
    assert [each.envelope for each in received] == [b"old", jobs()[0].envelope]
    with psycopg.connect(postgres_url) as admin:
        made = [number for (number,) in admin.execute("select number from umbel.migration order by number")]
    assert made == list(range(1, len(list(schema.iterdir())) + 1))


async def test_a_forked_child_uses_no_connection_of_its_parent(make: Make, postgres_url: str) -> None:
    broker = make(postgres_url)
    broker.send(jobs())
    await broker.asend(jobs())
    child = os.fork()
    if child == 0:
        try:
            broker.send(jobs())
            asyncio.run(broker.asend(jobs()))
        except BaseException:  # noqa: BLE001 - told by the exit code
            os._exit(1)
        os._exit(0)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert status == 0
    broker.send(jobs())
    await broker.asend(jobs())
    assert (await broker.counts([QUEUE]))[0].ready == 6


async def test_a_hostile_text_spoils_no_neighbour(make: Make, postgres_url: str) -> None:
    broker = make(postgres_url)
    session = await opened(broker)
    await broker.asend(jobs(2))
    first, second = await broker.receive(session, [QUEUE], 2, wait=0)
    settlements = [Settlement(first, "park", task="a\0b"), Settlement(second, "park", task="\ud800")]
    assert (await broker.settle(session, settlements))[0]
    assert await broker.unpark([QUEUE], ["a\0b"]) == 1


# --- waking


async def test_one_job_wakes_one_of_many_that_wait(make: Make, postgres_url: str) -> None:
    brokers = [make(postgres_url) for _ in range(5)]
    waiting = [asyncio.create_task(each.receive(await opened(each), [QUEUE], 1, wait=60.0)) for each in brokers]
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        # Each looks, takes its place among those who wait, and looks once more.
        await eventually(lambda: _received(admin) == 2 * len(brokers))
        await make(postgres_url).asend(jobs())
        done, _ = await asyncio.wait(waiting, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert len(done.pop().result()) == 1
        assert _received(admin) - 2 * len(brokers) <= 2, "each look of a session takes a number"
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


def _received(admin: psycopg.Connection[tuple[int]]) -> int:
    row = admin.execute("select sum(received) from umbel.session").fetchone()
    assert row is not None
    return int(row[0])


async def test_a_ring_for_somebody_who_has_left_goes_to_the_next(make: Make, postgres_url: str) -> None:
    broker = make(postgres_url)
    broker.send([])
    leaver, stayer = Listener(parse(postgres_url, 30.0)), Listener(parse(postgres_url, 30.0))
    gone, nap = Nap(), Nap()
    with stayer.expecting([work(QUEUE)], nap.wake), leaver.expecting([work(QUEUE)], gone.wake):
        assert await gone.sleep(SECONDS)
        assert await nap.sleep(SECONDS)
        (hearing,) = leaver._hearing.values()
        hearing._waiting.clear()  # it left, and the server does not know yet
        for _ in range(20):  # each goes to one of both, by chance
            await broker.asend(jobs())
            assert await nap.sleep(SECONDS)
        hearing._waiting[work(QUEUE)] = {gone.wake}
    leaver.close()
    stayer.close()


async def test_nobody_who_waits_costs_no_notification(make: Make, postgres_url: str) -> None:
    broker = make(postgres_url)
    await broker.asend(jobs())
    with psycopg.connect(postgres_url, autocommit=True) as admin:

        async def costs() -> bool:
            before = _transactions(admin)
            await broker._bells.aring(Counter({QUEUE: 1}))
            return _transactions(admin) != before

        # Once is enough: what the server does by itself takes transaction ids, too.
        assert not all([await costs() for _ in range(5)]), "a notification would have taken a transaction id"


def _transactions(admin: psycopg.Connection[tuple[str]]) -> str:
    row = admin.execute("select pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
    assert row is not None
    return str(row[0])


async def test_a_ring_that_fails_undoes_no_settle_and_no_receive(
    make: Make, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = make(postgres_url)
    session = await opened(broker)
    await broker.asend(jobs(2))
    failing = b"select $1::int4 / 0, $2::int4[], $3::text[], $4::int4[], $5::text"
    monkeypatch.setitem(WAKING.texts, "postgres_waking.ring", failing)
    with pytest.raises(psycopg.errors.DivisionByZero):
        _rung(postgres_url)
    received = await broker.receive(session, [QUEUE], 2, wait=0)
    assert await broker.settle(session, [Settlement(each, "end") for each in received]) == [True, True]
    assert (await broker.counts([QUEUE]))[0].running == 0


def _rung(url: str) -> None:
    line = connect(url, SECONDS, 60.0)
    try:
        line.run([ring({QUEUE: 1})])
    finally:
        line.close()


async def test_behind_a_pooler_without_a_way_around_it_one_looks_each_second(
    make: Make, pgbouncer_server: Server, postgres_url: str
) -> None:
    broker = make(pgbouncer_server.url)
    session = await opened(broker)
    waiting = asyncio.create_task(broker.receive(session, [QUEUE], 1, wait=60))
    await asyncio.sleep(0.3)  # into its wait
    await broker.asend(jobs())
    assert len(await soon(waiting, SECONDS)) == 1
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        # A lock would stay with a server process that serves others; those of earlier tests may be on their way out.
        await eventually(lambda: _locks(admin) == 0)


def _locks(admin: psycopg.Connection[tuple[int]]) -> int:
    row = admin.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone()
    assert row is not None
    return row[0]


# --- the size of the backlog


class Gauge:
    """Prepares each statement while the tables are empty, as an idle worker does, and counts the pages it reads."""

    def __init__(self, url: str) -> None:
        self.line = connect(url, SECONDS, 60.0)
        greet(self.line, trusted=False)
        self.line.execute(b"vacuum analyze umbel.job")
        self._prepared: dict[bytes, bytes] = {}

    def fill(self, backlog: int) -> None:
        """Add *backlog* jobs that are ready, twice as many that are delayed, and as many records."""
        self.line.execute(
            b"insert into umbel.job(id, queue, level, run_at, delayed, envelope)"
            b" select gen_random_uuid(), 'engine', level, now() + delay, delay > interval '0', 'body'"
            b" from generate_series(1, $1::int4),"
            b" (values (9, interval '0'), (0, '1 day'), (9, '1 day')) as sorts(level, delay)",
            (str(backlog),),
        )
        self.line.execute(
            b"insert into umbel.result(id, expires, writer, record)"
            b" select gen_random_uuid(), now() + interval '1 day', '', 'record' from generate_series(1, $1::int4)",
            (str(backlog),),
        )

    def pages(self, query: Query) -> int:
        """Carry out *query*; answers the pages it looked at."""
        plan = self.plan(query)
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    def rows(self, query: Query) -> int:
        """Carry out *query*; answers the rows that its steps looked at."""
        return _rows(self.plan(query))

    def plan(self, query: Query) -> dict[str, Any]:
        """Carry out *query*; answers what was done."""
        name = self._prepared.get(query.statement)
        if name is None:
            name = self._prepared[query.statement] = b"gauged%d" % len(self._prepared)
            self.line.execute(b"prepare %b as %b" % (name, query.statement), prepare=False)
        values = ", ".join(map(literal, query.values))
        call = b"%b(%b)" % (name, values.encode()) if values else name
        explain = b"explain (analyze, buffers, format json) execute %b" % call
        ((report,),) = self.line.execute(explain, prepare=False).fetchall()
        plan: dict[str, Any] = report[0]["Plan"]
        return plan

    def held(self, number: int) -> tuple[str, list[Delivery]]:
        """A session that holds *number* new jobs."""
        verbs, session = Verbs(), new_session()
        self.line.run(next(verbs.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)))
        self.line.run(next(verbs.send(jobs(number), ())))
        (rows,) = self.line.run(next(verbs.receive(session, 1, [QUEUE], number, Floors())))
        return session, [Delivery(row[2], QUEUE, 9, 1, b"") for row in rows]

    def verbs(self, number: int) -> dict[str, int]:
        """Pages for each verb, once each; *number* is that of the receive."""
        verbs, session = Verbs(), new_session()
        self.line.run(next(verbs.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)))
        _, sending = next(verbs.send(jobs(20), ()))
        (receiving,) = next(verbs.receive(session, number, [QUEUE], 20, Floors()))
        spent = {"send": self.pages(sending), "receive": self.pages(receiving)}
        ((held,),) = self.line.run([Query(b"select array_agg(id::text) from umbel.job where session = $1", (session,))])
        ending = [Settlement(Delivery(job_id, QUEUE, 9, number, b""), "end", record=b"r") for job_id in held[0]]
        half = len(ending) // 2
        spent["end"] = self.pages(next(verbs.settle(session, ending[:half], ()))[0])
        retries = [Settlement(each.delivery, "retry") for each in ending[half:]]
        spent["retry"] = self.pages(next(verbs.settle(session, retries, ()))[0])
        spent["reconcile"] = sum(map(self.pages, next(verbs.reconcile(session, number + 1, [QUEUE], ()))))
        spent["reclaim"] = sum(map(self.pages, next(verbs.reclaim([QUEUE], LEASE, ()))))
        return spent


def _rows(plan: dict[str, Any]) -> int:
    looked = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
    return int(looked * plan["Actual Loops"] + sum(map(_rows, plan.get("Plans", []))))


def literal(value: object) -> str:
    """*value* as it is written in SQL."""
    if value is None:
        return "null"
    if isinstance(value, Blobs):
        return "array[" + ", ".join(f"'\\x{each.hex()}'" for each in value) + "]::bytea[]"
    return "'" + str(value).replace("'", "''") + "'"


@pytest.fixture
def gauges() -> Generator[Callable[[str], Gauge]]:
    made: list[Gauge] = []

    def new(url: str) -> Gauge:
        made.append(Gauge(url))
        return made[-1]

    yield new
    for gauge in made:
        gauge.line.close()


def test_no_statement_reads_more_pages_before_a_long_backlog_whenever_it_was_planned(
    gauges: Callable[[str], Gauge], postgres_url: str
) -> None:
    gauge = gauges(postgres_url)
    few = gauge.verbs(1)
    gauge.fill(20_000)
    many = gauge.verbs(2)
    # An index of some ten thousand rows is deeper: a page or two more for each row that is looked up.
    dearer = {verb: (few[verb], many[verb]) for verb in few if many[verb] > few[verb] * 2 + 100}
    assert dearer == {}


def test_the_gauge_sees_a_statement_that_reads_everything(gauges: Callable[[str], Gauge], postgres_url: str) -> None:
    gauge = gauges(postgres_url)
    scan = Query(b"select count(*) from umbel.job where envelope = $1::bytea", ("x",))
    few = gauge.pages(scan)
    gauge.fill(5_000)
    assert gauge.pages(scan) > few * 2 + 100


def test_a_receive_passes_by_no_remains_of_jobs_that_have_ended(
    gauges: Callable[[str], Gauge], postgres_url: str
) -> None:
    gauge, verbs, session, floors = gauges(postgres_url), Verbs(), new_session(), Floors(lambda: 0.0)
    gauge.line.run(next(verbs.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)))
    with psycopg.connect(postgres_url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("select 1 from umbel.queue")  # as long as it is open nothing can be cleaned up
        for _ in range(6):  # four a page
            drive(verbs.send([Job(new_id(), QUEUE, b"x" * 1800) for _ in range(500)], ()), gauge.line.run)
        for number in range(1, 11):
            receiving = verbs.receive(session, number, [QUEUE], 250, floors)
            received = drive(receiving, gauge.line.run)
            assert len(received.deliveries) == 250
            verdicts = [Settlement(each, "end") for each in received.deliveries]
            gauge.line.run(next(verbs.settle(session, verdicts, ())))
        (everything,) = next(verbs.receive(session, 12, [QUEUE], 20, Floors()))
        (bounded,) = next(verbs.receive(session, 11, [QUEUE], 20, floors))
        few = gauge.pages(bounded)
        assert gauge.pages(everything) > few + 2500 // 4 / 2


@pytest.mark.parametrize("kind", ["end", "retry"])
def test_a_settle_of_twice_as_many_jobs_looks_at_twice_as_many_rows(
    gauges: Callable[[str], Gauge], postgres_url: str, kind: Kind
) -> None:
    gauge = gauges(postgres_url)
    spent: list[int] = []
    for number in (1, 100, 200):
        session, deliveries = gauge.held(number)
        query, *_ = next(Verbs().settle(session, [Settlement(each, kind) for each in deliveries], ()))
        spent.append(gauge.rows(query))
    assert spent[2] < 3 * spent[1]


async def test_a_connection_in_use_when_its_engine_is_closed_is_closed_when_it_is_given_back(postgres_url: str) -> None:
    engine = Engine(parse(postgres_url, SECONDS), SECONDS)
    with psycopg.connect(postgres_url, autocommit=True) as admin, ThreadPoolExecutor(1) as threads:
        admin.execute("select pg_advisory_lock(7)")
        asked = threads.submit(engine.call, [Query(b"select pg_advisory_xact_lock_shared(7)")])
        waiting = "select from pg_locks where locktype = 'advisory' and objid = 7 and not granted"
        await eventually(lambda: admin.execute(waiting).rowcount == 1)
        engine.close()
        admin.execute("select pg_advisory_unlock(7)")
        asked.result(SECONDS)
    assert not engine._idle.here


def test_who_calls_after_the_close_leaves_no_connection_open_when_nobody_has_the_engine(postgres_url: str) -> None:
    engine = Engine(parse(postgres_url, SECONDS), SECONDS)
    engine.close()
    engine.call([Query(b"select 1")])
    (line,) = engine._idle.here
    assert not line.closed
    del engine
    gc.collect()
    assert line.closed
