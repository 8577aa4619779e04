"""Result stores on SQL databases when something is wrong: servers away, rights, races, old rows."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from tests.patient import PATIENT, UNREACHED, at_last
from tests.servers import Server
from umbel.contracts.powers import Record
from umbel.engines import sql_table
from umbel.engines.sql import SqlEngine
from umbel.exceptions import BackendError, BrokerUnavailable, ImproperlyConfigured
from umbel.settings import Settings
from umbel.stores.sql import SqlShelf, connect
from umbel.stores.threaded import ThreadedStore
from umbel.testing import Clock
from umbel.testing.conformance.eventually import eventually, soon

QUEUE = "default"
DEADLINE = 1.5
SECONDS = 30.0
LATE = 6.0
RESTART_SECONDS = 120.0


def settings() -> Settings:
    """Settings with a short deadline."""
    made = Settings()
    made.broker_send_deadline = DEADLINE
    return made


def patient() -> Settings:
    """Settings for tests that do not ask how long something takes."""
    return Settings(broker_send_deadline=SECONDS)


def record(job_id: str, value: bytes = b"value", ttl: float = 60.0) -> Record:
    """A record of no owner."""
    return Record(job_id, QUEUE, value, ttl)


@pytest.fixture
async def store(mariadb_url: str) -> AsyncIterator[ThreadedStore]:
    """A store on a MariaDB that the test may kill."""
    made = connect(mariadb_url, settings())
    yield made
    await made.aclose()


async def test_a_restarted_server_is_used_again_without_an_error(mariadb_url: str, mariadb_server: Server) -> None:
    store = connect(mariadb_url, PATIENT)
    assert await store.put([record("1")]) == [True]
    mariadb_server.restart()
    assert await store.afetch("1", QUEUE) == b"value"
    mariadb_server.restart()
    assert await store.put([record("2")]) == [True]
    await store.aclose()


async def test_a_server_that_is_away_is_told_within_the_deadline_without_the_password(
    store: ThreadedStore, mariadb_server: Server
) -> None:
    await soon(at_last(lambda: store.put([record("1")])))
    mariadb_server.kill()
    begun = time.monotonic()
    for call in (store.put([record("2")]), store.afetch("1", QUEUE), store.awatch("2", QUEUE, None)):
        with pytest.raises(BrokerUnavailable, match=UNREACHED) as caught:
            await call
        assert "secret" not in str(caught.value)
    assert time.monotonic() - begun < 3 * (DEADLINE + LATE)
    mariadb_server.start()
    assert await soon(at_last(lambda: store.afetch("1", QUEUE))) == b"value"


async def test_a_frozen_server_is_told_within_the_deadline(store: ThreadedStore, mariadb_server: Server) -> None:
    await soon(at_last(lambda: store.put([record("1")])))
    mariadb_server.pause()
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await store.put([record("2")])
    with pytest.raises(BrokerUnavailable):
        await asyncio.to_thread(store.fetch, "1", QUEUE)
    assert time.monotonic() - begun < 2 * (DEADLINE + LATE)
    mariadb_server.resume()
    assert await soon(at_last(lambda: store.put([record("3")]))) == [True]


async def test_a_server_that_comes_back_within_the_deadline_delays_a_put_only(
    mariadb_url: str, mariadb_server: Server
) -> None:
    store = connect(mariadb_url, Settings(broker_send_deadline=RESTART_SECONDS))
    await store.put([record("1")])
    mariadb_server.kill()
    putting = asyncio.create_task(store.put([record("2")]))
    await asyncio.sleep(0.1)
    assert not putting.done()
    mariadb_server.start()  # here: it ends with the thread that starts it
    assert await putting == [True]
    await store.aclose()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("umbel:wrong@{}/umbel", "Access denied"),
        ("umbel:secret@{}/none", "Unknown"),
        ("umbel:secret@{}/umbel?x=1", "'x'"),
    ],
)
async def test_a_wrong_url_is_told_at_once_with_its_cure(mariadb_server: Server, wrong: str, message: str) -> None:
    mariadb_server.ensure_running()
    settings = Settings(broker_send_deadline=90.0)
    store = connect("db+mysql://" + wrong.format(f"127.0.0.1:{mariadb_server.port}"), settings)
    with pytest.raises(ImproperlyConfigured, match=message) as caught:
        await soon(store.put([record("1")]))
    assert isinstance(caught.value, BackendError)  # so that a worker keeps its outcomes and goes on when it is cured
    assert "secret" not in str(caught.value)
    await store.aclose()


async def test_many_processes_may_make_the_table_at_the_same_instant(mariadb_url: str) -> None:
    stores = [connect(mariadb_url, PATIENT) for _ in range(8)]
    answers = await asyncio.gather(*(each.put([record(str(number))]) for number, each in enumerate(stores)))
    assert answers == [[True]] * 8
    for each in stores:
        await each.aclose()


async def test_a_table_of_a_newer_umbel_is_refused(mariadb_url: str, tmp_path: Path) -> None:
    for url in (mariadb_url, f"db+sqlite:///{tmp_path}/results.db"):
        engine = SqlEngine(url, "result_backend", SECONDS, SECONDS)
        engine.run(lambda connection: connection.execute(sa.insert(sql_table.tables().versions), {"version": 99}))
        engine.close()
        store = connect(url, patient())
        with pytest.raises(ImproperlyConfigured, match="made by a newer Umbel"):
            await store.afetch("1", QUEUE)
        await store.aclose()


async def test_a_user_without_the_right_to_make_tables_is_told_so(mariadb_url: str, mariadb_server: Server) -> None:
    with pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="umbel", password="secret") as connection:
        connection.cursor().execute("create or replace user 'poor'@'%' identified by 'poor'")
        connection.cursor().execute("grant select, insert, update, delete on umbel.* to 'poor'@'%'")
    store = connect(mariadb_url.replace("umbel:secret", "poor:poor"), patient())
    with pytest.raises(ImproperlyConfigured, match="CREATE command denied"):
        await store.put([record("1")])
    rich = connect(mariadb_url, patient())
    await rich.put([record("2")])
    assert await store.put([record("1")]) == [True]
    for each in (store, rich):
        await each.aclose()


async def test_writers_that_collide_all_finish(mariadb_url: str) -> None:
    stores = [connect(mariadb_url, PATIENT) for _ in range(6)]
    ids = [str(number) for number in range(40)]
    # In another order each, so that they would lock each other out if the store did not sort.
    batches = [[record(each, b"%d" % turn) for each in ids[turn:] + ids[:turn]] for turn in range(6)]
    answers = await asyncio.gather(*(store.put(batch) for store, batch in zip(stores, batches, strict=True)))
    for position, job_id in enumerate(ids):
        winners = [turn for turn in range(6) if answers[turn][(position - turn) % 40]]
        assert len(winners) == 1
        assert await stores[0].afetch(job_id, QUEUE) == b"%d" % winners[0]
    for each in stores:
        await each.aclose()


@pytest.mark.parametrize("kind", ["sqlite", "mariadb", "postgres"])
def test_what_has_expired_is_deleted(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    urls = {"mariadb": "mariadb_url", "postgres": "postgres_results_url"}
    url = str(request.getfixturevalue(urls[kind])) if kind in urls else f"db+sqlite:///{tmp_path}/results.db"
    clock = Clock()
    engine = SqlEngine(url, "result_backend", SECONDS, SECONDS)
    shelf = SqlShelf(engine, clock)
    shelf.put([record(f"short-{number}", ttl=10.0) for number in range(2500)])
    shelf.put([record("long", ttl=1000.0)])
    clock.advance(10.0)
    shelf.tidy()
    assert engine.run(lambda connection: connection.scalars(sa.select(sql_table.tables().results.c.id)).all()) == [
        "long"
    ]
    engine.close()


@pytest.fixture
def connections() -> Iterator[Counter[str]]:
    """How many connections of SQLAlchemy were opened and closed since."""
    counted = Counter[str]()
    listeners = {"connect": lambda *_: counted.update(["opened"]), "close": lambda *_: counted.update(["closed"])}
    for name, listener in listeners.items():
        event.listen(sa.Pool, name, listener)
    yield counted
    for name, listener in listeners.items():
        event.remove(sa.Pool, name, listener)


@pytest.mark.parametrize("closings", [1, 2, 3])
@pytest.mark.parametrize("when", ["while the tables are made", "while a step runs", "in both"])
def test_who_is_closed_in_the_middle_leaves_no_connection_open(
    tmp_path: Path, connections: Counter[str], when: str, closings: int
) -> None:
    def closed(connection: sa.Connection) -> int:
        for _ in range(closings):
            engine.close()
        return sql_table.ensure(connection)

    url = f"db+sqlite:///{tmp_path}/results.db"
    ensure = sql_table.ensure if when == "while a step runs" else closed
    engine = SqlEngine(url, "result_backend", SECONDS, SECONDS, ensure)
    engine.run(sql_table.ensure if when == "while the tables are made" else closed)
    assert connections["opened"] == connections["closed"] > 0


def test_who_works_on_after_it_was_closed_leaves_no_connection_open_when_nobody_has_it_any_more(
    tmp_path: Path, connections: Counter[str]
) -> None:
    engine = SqlEngine(f"db+sqlite:///{tmp_path}/results.db", "result_backend", SECONDS, SECONDS)
    engine.close()
    engine.run(lambda connection: connection.scalar(sa.text("select 1")))
    assert connections == {"opened": 1}
    del engine
    gc.collect()
    assert connections == {"opened": 1, "closed": 1}


async def test_a_put_has_expired_records_deleted(tmp_path: Path) -> None:
    url = f"db+sqlite:///{tmp_path}/results.db"
    clock = Clock()
    store = connect(url, patient(), clock)
    await store.put([record("short", ttl=1.0)])
    await store.aclose()
    clock.advance(1.0)
    store = connect(url, patient(), clock)
    await store.put([record("long")])
    engine = SqlEngine(url, "result_backend", SECONDS, SECONDS)
    await eventually(
        lambda: engine.run(lambda one: one.scalar(sa.select(sa.func.count(sql_table.tables().results.c.id)))) == 1
    )
    engine.close()
    await store.aclose()


async def test_hundreds_that_wait_ask_the_database_a_few_times_a_second(
    mariadb_url: str, mariadb_server: Server
) -> None:
    store = connect(mariadb_url, PATIENT)
    waiting = [asyncio.create_task(store.awatch(str(each), QUEUE, 60.0)) for each in range(300)]
    with pymysql.connect(host="127.0.0.1", port=mariadb_server.port, user="umbel", password="secret") as connection:
        cursor = connection.cursor()

        def selects() -> int:
            cursor.execute("show global status like 'Com_select'")
            return int(cursor.fetchall()[0][1])

        await eventually(lambda: selects() > 0)
        begun, before = time.monotonic(), selects()
        await asyncio.sleep(1.0)
        found = selects() - before
        assert found < 40 * (time.monotonic() - begun)
    await store.put([record(str(each), b"%d" % each) for each in range(300)])
    assert await soon(asyncio.gather(*waiting)) == [b"%d" % each for each in range(300)]
    await store.aclose()


# --- tables of other names and in other schemas


def named(name: str = "", schema: str = "") -> Settings:
    """Settings with a name and a schema of the tables."""
    made = patient()
    made.database_table_names = {"task": name} if name else {}
    made.database_table_schemas = {"task": schema} if schema else {}
    return made


async def test_stores_of_two_names_share_a_database_and_nothing_else(mariadb_url: str, tmp_path: Path) -> None:
    for url in (mariadb_url, f"db+sqlite:///{tmp_path}/results.db"):
        one, two, usual = (connect(url, named(name)) for name in ("shop", "bank", ""))
        assert await one.put([record("1", b"one")]) == [True]
        assert await two.put([record("1", b"two")]) == [True]
        assert [await each.afetch("1", QUEUE) for each in (one, two, usual)] == [b"one", b"two", None]
        for each in (one, two, usual):
            await each.aclose()


async def test_tables_are_made_in_the_schema_that_is_named(postgres_results_url: str) -> None:
    with psycopg.connect(postgres_results_url.removeprefix("db+"), autocommit=True) as admin:
        admin.execute("drop schema if exists shop cascade")
        store = connect(postgres_results_url, named("umbel_results_of_shop", "shop"))
        with pytest.raises(ImproperlyConfigured, match="create shop, or correct database_table_schemas"):
            await store.put([record("1")])
        admin.execute("create schema shop")
        assert await store.put([record("1")]) == [True]
        assert await store.afetch("1", QUEUE) == b"value"
        tables = admin.execute(
            "select schemaname, tablename from pg_tables where tablename like '%of_shop%'"
        ).fetchall()
        assert {schema for schema, _ in tables} == {"shop"}
        assert len(tables) == 2
        await store.aclose()
        admin.execute("drop schema shop cascade")


async def test_in_mariadb_a_schema_is_a_database(mariadb_url: str, mariadb_server: Server) -> None:
    store = connect(mariadb_url, named(schema="elsewhere"))
    with pytest.raises(ImproperlyConfigured, match="create elsewhere, or correct database_table_schemas"):
        await store.put([record("1")])
    await store.aclose()


async def test_a_table_that_celery_has_made_is_not_taken_for_ours(mariadb_url: str, tmp_path: Path) -> None:
    for url in (mariadb_url, f"db+sqlite:///{tmp_path}/results.db"):
        engine = SqlEngine(url, "result_backend", SECONDS, SECONDS)
        engine.run(lambda connection: connection.execute(sa.text("create table if not exists celery_taskmeta(id int)")))
        engine.close()
        store = connect(url, named("celery_taskmeta"))
        with pytest.raises(ImproperlyConfigured, match=r"celery_taskmeta is not Umbel's.*database_table_names"):
            await store.put([record("1")])
        await store.aclose()
