"""Jobs that are sent in a transaction of the user's own: they come with its commit, and never without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.patient import PATIENT
from umbel.brokers.postgres import PostgresBroker
from umbel.contracts.broker import Beat
from umbel.contracts.powers import TransactionalSender
from umbel.engines import postgres_listener
from umbel.exceptions import ImproperlyConfigured
from umbel.model.ids import new_id, new_session
from umbel.model.job import Job
from umbel.testing.conformance.eventually import eventually

QUEUE = "transactions"


@pytest.fixture
async def broker(postgres_url: str) -> AsyncIterator[PostgresBroker]:
    made = PostgresBroker(postgres_url, PATIENT)
    yield made
    await made.aclose()
    made.close()


def jobs() -> list[Job]:
    return [Job(new_id(), QUEUE, b"envelope\x00\xff", priority=3), Job("a name", QUEUE, b"")]


async def ready(broker: PostgresBroker) -> int:
    return (await broker.counts([QUEUE]))[0].ready


def test_the_power_is_found_by_isinstance(broker: PostgresBroker) -> None:
    assert isinstance(broker, TransactionalSender)


async def test_jobs_come_with_the_commit_of_psycopg(broker: PostgresBroker, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        broker.send_in(jobs(), connection)
        assert await ready(broker) == 0
        connection.rollback()
        assert await ready(broker) == 0
        broker.send_in(jobs(), connection)
        connection.commit()
        assert await ready(broker) == 2
        broker.send_in(jobs()[1:], connection)
        connection.commit()
        assert await ready(broker) == 2, "an id that is known is accepted once"


async def test_jobs_come_with_the_commit_of_an_async_psycopg(broker: PostgresBroker, postgres_url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(postgres_url, autocommit=True)
    async with connection:
        async with connection.transaction():
            await broker.asend_in(jobs(), connection)
            assert await ready(broker) == 0
        assert await ready(broker) == 2


async def test_jobs_come_with_the_commit_of_asyncpg(broker: PostgresBroker, postgres_url: str) -> None:
    connection: Any = await asyncpg.connect(postgres_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await broker.asend_in(jobs(), connection)
        await transaction.rollback()
        assert await ready(broker) == 0
        async with connection.transaction():
            await broker.asend_in(jobs(), connection)
            assert await ready(broker) == 0
        assert await ready(broker) == 2
    finally:
        await connection.close()


async def test_jobs_come_with_the_commit_of_sqlalchemy(broker: PostgresBroker, postgres_url: str) -> None:
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    with engine.connect() as connection:
        broker.send_in(jobs(), connection)
        connection.rollback()
        assert await ready(broker) == 0
        broker.send_in(jobs(), connection)
        connection.commit()
        assert await ready(broker) == 2
    with Session(engine) as session:
        broker.send_in([Job("more", QUEUE, b"")], session)
        assert await ready(broker) == 2
        session.commit()
    assert await ready(broker) == 3


async def test_who_waits_for_work_is_woken_by_the_commit_and_by_nothing_before(
    broker: PostgresBroker, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_listener, "LOOK_AGAIN_SECONDS", 600.0)  # nobody looks by himself
    session = new_session()
    assert await broker.heartbeat([Beat(session)], [QUEUE], 60.0, opening=True) == [True]
    waiting = asyncio.create_task(broker.receive(session, [QUEUE], 10, wait=60.0))
    with psycopg.connect(postgres_url) as connection:
        broker.send_in(jobs(), connection)
        connection.rollback()
        broker.send_in(jobs()[:1], connection)
        broker.send_in(jobs()[1:], connection)
        await asyncio.sleep(0.2)
        assert not waiting.done()
        connection.commit()
        async with asyncio.timeout(20):
            received = await waiting
        received += await broker.receive(session, [QUEUE], 10, wait=0)
    assert len(received) == 2


async def test_nothing_is_looked_for_when_all_transactions_are_over(broker: PostgresBroker, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        broker.send_in(jobs(), connection)
        assert broker._commits._thread is not None
        connection.rollback()
    await eventually(lambda: broker._commits._thread is None, 20.0)
    assert await ready(broker) == 0


async def test_a_connection_without_a_transaction_is_refused(broker: PostgresBroker, postgres_url: str) -> None:
    with (
        psycopg.connect(postgres_url, autocommit=True) as connection,
        pytest.raises(ImproperlyConfigured, match="no open transaction"),
    ):
        broker.send_in(jobs(), connection)
    loose: Any = await asyncpg.connect(postgres_url)
    try:
        with pytest.raises(ImproperlyConfigured, match="no open transaction"):
            await broker.asend_in(jobs(), loose)
    finally:
        await loose.close()
    assert await ready(broker) == 0


async def test_what_is_no_connection_is_refused_with_what_is(broker: PostgresBroker) -> None:
    with pytest.raises(ImproperlyConfigured, match="object is understood here: give a connection of psycopg 3"):
        broker.send_in(jobs(), object())
    with pytest.raises(ImproperlyConfigured, match="psycopg 3 or asyncpg"):
        await broker.asend_in(jobs(), object())
