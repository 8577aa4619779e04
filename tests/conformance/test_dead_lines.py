"""A line that is dead without a word: it is given up in time for another one, and its neighbours with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from tests.servers import Server
from tests.servers.sentinel import bulk
from umbel.brokers import connect
from umbel.brokers.redis import broker as redis_broker
from umbel.contracts.broker import Broker
from umbel.engines import postgres, redis, redis_stream, sql, sql_rows
from umbel.engines.redis import Engine
from umbel.engines.redis_address import parse
from umbel.engines.redis_command import Command
from umbel.engines.sql import Connection, SqlEngine
from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.settings import Settings
from umbel.testing.conformance.eventually import eventually
from umbel.testing.proxy import Proxy

DEADLINE_SECONDS = 60.0
SOON = 0.01
"""The share of the deadline that one try has here; a second is the least on PostgreSQL."""

Scene = tuple[Broker, Proxy]


@pytest.fixture(params=["redis", "postgres"])
async def scene(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """A broker behind a proxy."""
    monkeypatch.setattr(redis_broker, "ONE_TRY", SOON)
    monkeypatch.setattr(postgres, "ONE_TRY", SOON)
    url = request.getfixturevalue(f"{request.param}_url")
    with Proxy(urlsplit(url).port or 0) as proxy:
        url = url.replace(f":{urlsplit(url).port}", f":{proxy.port}")
        made = connect(url, Settings(broker_send_deadline=DEADLINE_SECONDS))
        yield made, proxy
        await made.aclose()
        made.close()


async def test_a_send_over_a_line_that_is_dead_without_a_word_arrives_within_its_deadline(scene: Scene) -> None:
    broker, proxy = scene
    await broker.asend([Job(new_id(), "default", b"1")])
    proxy.go_silent()
    proxy.mend()
    await broker.asend([Job(new_id(), "default", b"1")])


async def test_so_does_one_of_a_thread(scene: Scene) -> None:
    broker, proxy = scene
    await asyncio.to_thread(broker.send, [Job(new_id(), "default", b"1")])
    proxy.go_silent()
    proxy.mend()
    await asyncio.to_thread(broker.send, [Job(new_id(), "default", b"1")])


@pytest.mark.usefixtures("redis_url")
async def test_who_waited_on_a_dead_line_asks_nothing_on_the_other_lines_of_that_time(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_WAIT_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(redis_stream, "_GRACE_SECONDS", 0.1)
    with Proxy(redis_server.port) as proxy:
        address = parse(f"redis://127.0.0.1:{proxy.port}/0", timeout=DEADLINE_SECONDS, connect_timeout=DEADLINE_SECONDS)
        engine = Engine(address, DEADLINE_SECONDS)
        assert await engine.acall([Command((b"PING",))]) == [b"PONG"]
        answer: object = None
        seconds, before = 1.0, proxy.accepted
        while answer is None:  # on a busy machine its time may be over before the line is dead
            seconds *= 2
            before = proxy.accepted
            waiting = asyncio.create_task(engine.pop([b"nobody"], seconds))
            await eventually(lambda: waiting.done() or is_blocked(redis_server), DEADLINE_SECONDS)  # noqa: B023
            proxy.go_silent()
            proxy.mend()
            (answer,) = await asyncio.gather(waiting, return_exceptions=True)
        assert "no answer" in str(answer)
        # Without a new line it would wait here for its whole time.
        assert await engine.acall([Command((b"PING",))]) == [b"PONG"]
        assert proxy.accepted == before + 2
        await engine.aclose()


def is_blocked(server: Server) -> bool:
    """Whether somebody waits at *server*."""
    return "blocked_clients:1" in bulk(server.port, "INFO clients")


def holding(engine: SqlEngine) -> Connection:
    """A connection that holds the lock, however often a busy server is given up before."""
    while True:
        connection = engine._engine.connect()
        try:
            locked(connection)
        except DBAPIError:
            connection.close()
        else:
            return connection


def locked(connection: Connection) -> None:
    """Hold a lock until the end of the transaction."""
    connection.execute(sa.text("select pg_advisory_xact_lock(55)"))


def test_a_transaction_on_a_dead_line_is_tried_on_another_one_and_keeps_its_locks_from_nobody(
    postgres_server: Server, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "ONE_TRY", SOON)
    with Proxy(postgres_server.port) as proxy:
        url = "db+" + postgres_url.replace(f":{postgres_server.port}", f":{proxy.port}")
        engine = SqlEngine(url, "result_backend", DEADLINE_SECONDS, DEADLINE_SECONDS)
        engine.run(locked)
        with holding(engine) as connection:
            proxy.go_silent()
            proxy.mend()
            engine.run(locked)  # the server has let go of it by then
            with pytest.raises(DBAPIError, match="no answer"):
                locked(connection)
        engine.close()


COUNTED = sa.Table("umbel_test_counted", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


def counted(connection: Connection) -> int:
    """Make the table, if it is not there; answers its version."""
    COUNTED.create(connection, checkfirst=True)
    return 1


def written(connection: Connection) -> None:
    """Write and delete many rows at once, and keep them locked until the end of the transaction."""
    rows = [{"number": number} for number in range(3)]
    sql_rows.add(connection, COUNTED, rows)
    connection.execute(sa.delete(COUNTED).where(COUNTED.c.number == sa.bindparam("gone")), [{"gone": 1}, {"gone": 2}])


@pytest.mark.parametrize("database", ["postgres", "mariadb"])
def test_so_is_one_that_has_just_written_many_rows(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "ONE_TRY", SOON)
    url = request.getfixturevalue(f"{database}_url")
    port = urlsplit(url).port
    with Proxy(port or 0) as proxy:
        url = f"db+{url.removeprefix('db+')}".replace(f":{port}", f":{proxy.port}")
        engine = SqlEngine(url, "result_backend", DEADLINE_SECONDS, DEADLINE_SECONDS, counted)
        engine.run(lambda _: None)
        with engine._engine.connect() as connection:
            written(connection)
            proxy.go_silent()
            proxy.mend()
            engine.run(written)  # the server has let go of the rows by then
            with pytest.raises(DBAPIError):
                written(connection)
        engine.run(COUNTED.drop)
        engine.close()
