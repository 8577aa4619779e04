"""``connection=``: tasks that are called in a transaction of the user's own, with each toolkit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.patient import UNHURRIED
from umbel import Umbel
from umbel.contracts.powers import Inspector
from umbel.exceptions import ImproperlyConfigured

ROWS: Any = dict_row  # the user's own way of rows changes nothing
DIALECTS = ("postgresql+psycopg", "postgresql+asyncpg")


@pytest.fixture
async def app(postgres_url: str) -> AsyncIterator[Umbel]:
    made = Umbel("transactions", broker=postgres_url, changes=UNHURRIED, set_as_current=False)
    yield made
    await made.aclose()
    made.close()


@pytest.fixture
def add(app: Umbel) -> Any:
    @app.task(name="add")
    def add(x: int, y: int = 0) -> int:
        return x + y

    return add


async def ready(app: Umbel) -> int:
    assert isinstance(app.broker, Inspector)
    return (await app.broker.counts(["default"]))[0].ready


def spelt(url: str, dialect: str) -> str:
    return url.replace("postgresql", dialect, 1)


async def test_a_call_with_a_connection_of_psycopg_comes_with_its_commit(
    app: Umbel, add: Any, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, row_factory=ROWS) as connection:
        add.apply_async((1, 2), connection=connection)
        connection.rollback()
        handle = add.apply_async((1, 2), connection=connection)
        add.options(connection=connection).delay(3)
        add.options(connection=connection).delay_many([(1,), (2,)])
        app.send_task("add", (5,), connection=connection)
        app.send_many([add.call(1), add.call(2, 3)], connection=connection)
        assert await ready(app) == 0
        assert handle.state == "PENDING"
        connection.commit()
    assert await ready(app) == 7


async def test_a_call_with_an_async_connection_of_psycopg_comes_with_its_commit(
    app: Umbel, add: Any, postgres_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_url, row_factory=ROWS) as connection:
        await add.aapply_async((1, 2), connection=connection)
        await connection.rollback()
        await add.aapply_async((1, 2), connection=connection)
        await add.options(connection=connection).adelay(3)
        await add.options(connection=connection).adelay_many([(1,), (2,)])
        await app.asend_task("add", (5,), connection=connection)
        await app.asend_many([add.call(1), add.call(2, 3)], connection=connection)
        assert await ready(app) == 0
        await connection.commit()
    assert await ready(app) == 7


async def test_a_call_with_a_connection_of_asyncpg_comes_with_its_commit(
    app: Umbel, add: Any, postgres_url: str
) -> None:
    connection: Any = await asyncpg.connect(postgres_url)
    try:
        async with connection.transaction():
            await add.aapply_async((1, 2), connection=connection)
            await app.asend_many([add.call(1), add.call(2, 3)], connection=connection)
            assert await ready(app) == 0
        assert await ready(app) == 3
    finally:
        await connection.close()


async def test_a_call_with_a_session_of_sqlalchemy_comes_with_its_commit(
    app: Umbel, add: Any, postgres_url: str
) -> None:
    engine = create_engine(spelt(postgres_url, "postgresql+psycopg"), poolclass=NullPool)
    with Session(engine) as session:
        add.apply_async((1, 2), connection=session)
        session.rollback()
        add.apply_async((1, 2), connection=session)
        assert await ready(app) == 0
        session.commit()
    with engine.begin() as connection:
        add.apply_async((1, 2), connection=connection)
        assert await ready(app) == 1
    assert await ready(app) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_call_with_an_async_session_of_sqlalchemy_comes_with_its_commit(
    app: Umbel, add: Any, postgres_url: str, dialect: str
) -> None:
    engine = create_async_engine(spelt(postgres_url, dialect), poolclass=NullPool)
    async with AsyncSession(engine) as session:
        await add.aapply_async((1, 2), connection=session)
        await session.rollback()
        assert await ready(app) == 0
        await add.aapply_async((1, 2), connection=session)
        assert await ready(app) == 0
        await session.commit()
    async with engine.begin() as connection:
        await add.aapply_async((1, 2), connection=connection)
        assert await ready(app) == 1
    assert await ready(app) == 2


async def test_an_async_connection_in_a_plain_call_is_refused_with_what_is_welcome(
    app: Umbel, add: Any, postgres_url: str
) -> None:
    engine = create_async_engine(spelt(postgres_url, DIALECTS[0]), poolclass=NullPool)
    async with AsyncSession(engine) as session:
        with pytest.raises(ImproperlyConfigured, match="AsyncSession is understood here: give a connection of psycopg"):
            add.apply_async((1, 2), connection=session)
    with (
        psycopg.connect(postgres_url) as connection,
        pytest.raises(ImproperlyConfigured, match="give an asynchronous connection"),
    ):
        await add.aapply_async((1, 2), connection=connection)
    assert await ready(app) == 0


async def test_a_new_queue_is_named_beside_the_transaction_so_that_nobody_waits_for_its_end(
    app: Umbel, add: Any, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        add.apply_async((1, 2), connection=connection, queue="new")
        # Whoever looks after the queue would wait for the name until the user commits; here that is never.
        assert await app.broker.reclaim(["new"], 10.0) is not None
        connection.rollback()


def test_a_broker_without_transactions_names_the_one_with_them() -> None:
    app = Umbel("memory", broker="memory://", set_as_current=False)

    @app.task
    def nothing() -> None: ...

    with pytest.raises(ImproperlyConfigured, match="transaction of your own: memory:// does not, PostgreSQL does"):
        nothing.apply_async(connection=object())


def test_calls_of_send_many_have_one_connection_for_all(app: Umbel, add: Any) -> None:
    with pytest.raises(TypeError, match="give connection= to send_many"):
        app.send_many([add.options(connection=object()).call(1)])
