"""``complete_in``: a job that ends in a transaction of its task's own, so that the effect counts exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.patient import PATIENT, UNHURRIED
from umbel import Context, Umbel
from umbel.brokers.postgres import PostgresBroker
from umbel.brokers.postgres.operations import SQL
from umbel.contracts.broker import Beat, Ended, SessionDead, Settlement
from umbel.contracts.powers import Inspector, TransactionalSettler
from umbel.exceptions import ImproperlyConfigured, LeaseLost, NotCommitted
from umbel.model.ids import new_id, new_session
from umbel.model.job import Delivery, Job
from umbel.testing import worker

QUEUE = "completion"
SECONDS = 60.0


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create table effect(job text)")
        yield postgres_url
        connection.execute("drop table effect")


@pytest.fixture
def app(url: str) -> Iterator[Umbel]:
    with Umbel("completion", broker=url, changes=UNHURRIED, set_as_current=False) as made:
        yield made


def effects(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [job for (job,) in connection.execute("select job from effect")]


def by_psycopg(app: Umbel, url: str) -> Any:
    @app.task(bind=True, name="charge")
    def charge(self: Context, amount: int) -> int:
        with psycopg.connect(url) as connection:
            connection.execute("insert into effect values (%s)", (self.request.id,))
            return self.request.complete_in(connection, amount + 1)

    return charge


def by_sqlalchemy(app: Umbel, url: str) -> Any:
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1), poolclass=NullPool)

    @app.task(bind=True, name="charge")
    def charge(self: Context, amount: int) -> int:
        with Session(engine) as session, session.begin():
            session.execute(text("insert into effect values (:job)"), {"job": self.request.id})
            return self.request.complete_in(session, amount + 1)

    return charge


def by_async_psycopg(app: Umbel, url: str) -> Any:
    @app.task(bind=True, name="charge")
    async def charge(self: Context, amount: int) -> int:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("insert into effect values (%s)", (self.request.id,))
            return await self.request.acomplete_in(connection, amount + 1)

    return charge


def by_asyncpg(app: Umbel, url: str) -> Any:
    @app.task(bind=True, name="charge")
    async def charge(self: Context, amount: int) -> int:
        connection: Any = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute("insert into effect values ($1)", self.request.id)
                return await self.request.acomplete_in(connection, amount + 1)
        finally:
            await connection.close()

    return charge


def by_async_sqlalchemy(app: Umbel, url: str) -> Any:
    engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg", 1), poolclass=NullPool)

    @app.task(bind=True, name="charge")
    async def charge(self: Context, amount: int) -> int:
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(text("insert into effect values (:job)"), {"job": self.request.id})
            return await self.request.acomplete_in(session, amount + 1)

    return charge


@pytest.mark.parametrize("made", [by_psycopg, by_sqlalchemy, by_async_psycopg, by_asyncpg, by_async_sqlalchemy])
def test_effect_result_and_end_of_a_job_come_with_one_commit(
    app: Umbel, url: str, made: Callable[[Umbel, str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    charge = made(app, url)
    with caplog.at_level(logging.INFO, "umbel"), worker(app):
        result = charge.delay(1)
        assert result.get(timeout=SECONDS) == 2
        assert effects(url) == [result.id]
        assert charge.delay(5).get(timeout=SECONDS) == 6
    assert isinstance(app.broker, Inspector)
    assert app.broker.locate(result.id, None).place == "ended"
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


def test_an_error_before_the_commit_undoes_the_end_of_the_job_and_it_is_retried(app: Umbel, url: str) -> None:
    @app.task(bind=True, autoretry_for=(OSError,), default_retry_delay=0)
    def charge(self: Context) -> int:
        with psycopg.connect(url) as connection:
            connection.execute("insert into effect values (%s)", (self.request.id,))
            self.request.complete_in(connection, self.request.retries)
            if self.request.retries < 2:
                raise OSError("the line broke before the commit")
        return -1

    with worker(app):
        result = charge.delay()
        assert result.get(timeout=SECONDS) == 2, "the value given to complete_in, by the run that was committed"
    assert effects(url) == [result.id]


def test_a_transaction_that_was_not_committed_fails_the_job(app: Umbel, url: str) -> None:
    @app.task(bind=True)
    def charge(self: Context) -> None:
        with psycopg.connect(url) as connection:
            self.request.complete_in(connection)
            connection.rollback()

    with worker(app), pytest.raises(NotCommitted, match="not committed when the task returned"):
        charge.delay().get(timeout=SECONDS)


def test_an_error_after_the_commit_is_logged_and_the_job_has_ended_well(
    app: Umbel, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(bind=True, autoretry_for=(OSError,), default_retry_delay=0)
    def charge(self: Context) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("insert into effect values (%s)", (self.request.id,))
            self.request.complete_in(connection, "done")
        raise OSError("too late")

    with worker(app):
        result = charge.delay()
        assert result.get(timeout=SECONDS) == "done"
        assert charge.delay().get(timeout=SECONDS) == "done"  # the worker goes on
    assert len(effects(url)) == 2
    assert caplog.text.count("has ended its job and raised then") == 2


def test_what_follows_in_a_chain_comes_with_the_commit(app: Umbel, url: str) -> None:
    charge = by_psycopg(app, url)

    @app.task
    def double(amount: int) -> int:
        return 2 * amount

    with worker(app):
        assert (charge.s(1) | charge.s() | double.s()).apply_async().get(timeout=SECONDS) == 6
    assert len(effects(url)) == 2


def test_a_task_without_a_job_completes_nothing(app: Umbel) -> None:
    @app.task(bind=True)
    def charge(self: Context, amount: int) -> int:
        return self.request.complete_in(object(), amount)

    assert charge(3) == 3
    assert charge.apply((4,)).get() == 4


@pytest.mark.parametrize("places", [("memory://", None), ("postgres", "memory://")])
def test_an_engine_that_cannot_do_it_fails_the_job_with_the_cure(url: str, places: tuple[str, str | None]) -> None:
    broker, backend = places
    app = Umbel(
        "other",
        broker=url if broker == "postgres" else broker,
        backend=backend,
        changes=UNHURRIED,
        set_as_current=False,
    )

    @app.task(bind=True)
    def charge(self: Context) -> None:
        with psycopg.connect(url) as connection:
            self.request.complete_in(connection)

    cure = "memory:// does not, PostgreSQL does" if backend is None else "leave result_backend out"
    with app, worker(app), pytest.raises(ImproperlyConfigured, match=cure):
        charge.delay().get(timeout=SECONDS)


# --- the fence


@pytest.fixture
async def broker(url: str) -> AsyncIterator[PostgresBroker]:
    made = PostgresBroker(url, PATIENT)
    yield made
    await made.aclose()
    made.close()


async def opened(broker: PostgresBroker) -> str:
    session = new_session()
    assert await broker.heartbeat([Beat(session)], [QUEUE], 60.0, opening=True) == [True]
    return session


async def taken(broker: PostgresBroker, session: str) -> Delivery:
    (delivery,) = await broker.receive(session, [QUEUE], 1, wait=0)
    return delivery


async def stale_wins(broker: PostgresBroker, url: str) -> bool:
    """Whether a worker that was declared dead can end a job that another one runs by now."""
    zombie, heir = await opened(broker), await opened(broker)
    await broker.asend([Job(new_id(), QUEUE, b"")])
    stale = await taken(broker, zombie)
    await broker.reclaim([QUEUE], 60.0, [Ended(zombie, (stale.id,))])
    fresh = await taken(broker, heir)
    assert fresh.id == stale.id
    with psycopg.connect(url) as connection:
        connection.execute("insert into effect values ('zombie')")
        if broker.settle_in(zombie, Settlement(stale, "end", record=b"zombie", ttl=60.0), connection):
            return True
        connection.rollback()
        connection.execute("insert into effect values ('heir')")
        verdict = Settlement(fresh, "end", record=b"heir", ttl=60.0)
        assert broker.settle_in(heir, verdict, connection)
        assert not broker.confirm(heir, verdict), "not before the commit"
        connection.commit()
    assert broker.confirm(heir, verdict)
    assert await broker.settle(heir, [verdict]) == [False], "the job has ended: nothing is left to settle"
    return False


async def test_a_stale_delivery_ends_nothing_and_its_effect_is_undone(broker: PostgresBroker, url: str) -> None:
    assert isinstance(broker, TransactionalSettler)
    assert not await stale_wins(broker, url)
    assert effects(url) == ["heir"]


async def test_without_the_fence_a_stale_delivery_wins(
    broker: PostgresBroker, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = "job.number = given.number and job.session = $1::uuid and job.state + 0 = 1"
    unfenced = SQL.texts["settle.end"].decode().replace(fence, "true").replace("and ended is null", "")
    assert unfenced.count("true") == 1
    monkeypatch.setitem(SQL.texts, "settle.end", unfenced.encode())
    assert await stale_wins(broker, url)


def test_a_task_whose_lease_was_lost_is_told_so_inside_its_transaction(app: Umbel, url: str) -> None:
    told: list[BaseException] = []

    @app.task(bind=True)
    def charge(self: Context) -> str:
        with psycopg.connect(url) as connection:
            connection.execute("insert into effect values (%s)", (self.request.id,))
            if not told:
                asyncio.run(reclaimed(app))
            try:
                return self.request.complete_in(connection, "done")
            except LeaseLost as error:
                told.append(error)
                raise

    result = charge.delay()
    with suppress(SessionDead), worker(app):  # declared dead while the task runs
        eventually_told(told)
    eventually_told(told)  # a worker that is dead before it has begun waits for no task
    with worker(app):
        assert result.get(timeout=SECONDS) == "done"
    assert [type(error) for error in told] == [LeaseLost]
    assert effects(url) == [result.id]


def eventually_told(told: list[BaseException]) -> None:
    end = time.monotonic() + SECONDS
    while not told:
        assert time.monotonic() < end
        time.sleep(0.01)


async def reclaimed(app: Umbel) -> None:
    """Declare every session dead, as if none had renewed its lease."""
    assert isinstance(app.broker, Inspector)
    dead = await app.broker.sessions(["default"])
    await app.broker.reclaim(["default"], 60.0, [Ended(each.session, ()) for each in dead])
    await app.broker.aclose()


async def test_the_server_ends_a_transaction_that_stays_silent_before_its_commit(
    broker: PostgresBroker, url: str
) -> None:
    async def patience(first: str) -> str:
        session = await opened(broker)
        await broker.asend([Job(new_id(), QUEUE, b"")])
        delivery = await taken(broker, session)
        with psycopg.connect(url) as connection:
            connection.execute(f"set idle_in_transaction_session_timeout = '{first}'".encode())
            assert broker.settle_in(session, Settlement(delivery, "end"), connection)
            row = connection.execute("show idle_in_transaction_session_timeout").fetchone()
        assert row is not None
        return str(row[0])

    assert await patience("0") == "10s"
    assert await patience("1min") == "10s"
    assert await patience("2s") == "2s", "who is stricter stays so"
