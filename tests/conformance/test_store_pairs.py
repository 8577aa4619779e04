"""Jobs in one engine, results in another: they arrive, and a job that came back after its record ends once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.patient import UNHURRIED
from umbel import Umbel
from umbel.contracts.broker import Beat, Ended, Settlement
from umbel.contracts.powers import Record
from umbel.model.ids import new_session
from umbel.model.outcome import Result
from umbel.states import SUCCESS
from umbel.testing import worker
from umbel.testing.conformance.eventually import eventually
from umbel.wire import record, values

BROKERS = ("memory", "sqlite", "redis", "postgres")
STORES = ("db_sqlite", "mariadb", "postgres", "s3", "files")
QUEUE = "default"
LEASE = 60.0
SECONDS = 60.0


@pytest.fixture
def broker_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty broker of the kind that the test is asked with."""
    match request.param:
        case "memory":
            return f"memory://{new_session()}"
        case "sqlite":
            return f"sqlite:///{request.getfixturevalue('tmp_path')}/jobs.db"
        case kind:
            return str(request.getfixturevalue(f"{kind}_url"))


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty store of the kind that the test is asked with."""
    match request.param:
        case "db_sqlite":
            return f"db+sqlite:///{request.getfixturevalue('tmp_path')}/results.db"
        case "mariadb":
            return str(request.getfixturevalue("mariadb_url"))
        case "postgres":
            return str(request.getfixturevalue("postgres_results_url"))
        case "redis":
            return str(request.getfixturevalue("redis_url"))
        case "s3":
            return str(request.getfixturevalue("objects_url"))
        case _:
            return f"file://{request.getfixturevalue('tmp_path')}/results"


@pytest.fixture
async def app(broker_url: str, store_url: str) -> AsyncIterator[Umbel]:
    """An app whose jobs are in one engine and whose results are in another."""
    app = Umbel("pairs", broker=broker_url, backend=store_url, changes=UNHURRIED, set_as_current=False)
    app.conf.worker_lease = LEASE
    yield app
    await app.aclose()
    app.close()


pairs = pytest.mark.parametrize(
    ("broker_url", "store_url"), [(broker, store) for broker in BROKERS for store in STORES], indirect=True
)
# With RabbitMQ the store keeps claims, too, if it can: test_rabbitmq*.py say what becomes of a job that came back.
all_pairs = pytest.mark.parametrize(
    ("broker_url", "store_url"),
    [(broker, store) for broker in (*BROKERS, "rabbitmq") for store in ("redis", *STORES) if broker != store],
    indirect=True,
)


@all_pairs
async def test_results_arrive(app: Umbel) -> None:
    @app.task
    def double(number: int) -> int:
        return 2 * number

    @app.task
    def fail() -> None:
        raise ValueError("as told")

    with worker(app, threads=2):
        handles = [await double.adelay(number) for number in range(20)]
        failing = await fail.adelay()
        assert await asyncio.gather(*handles) == [2 * number for number in range(20)]
        with pytest.raises(ValueError, match="as told"):
            await asyncio.to_thread(failing.get, SECONDS)
    assert app.AsyncResult(handles[3].id).get(SECONDS) == 6
    handles[3].forget()
    assert not handles[3].ready()


@pairs
async def test_a_job_that_came_back_after_its_record_ends_once(app: Umbel) -> None:
    runs: list[int] = []

    @app.task
    def run() -> str:
        runs.append(1)
        return "second"

    handle = await run.adelay()
    first = new_session()
    await app.broker.heartbeat([Beat(first)], [QUEUE], LEASE, opening=True)
    (delivery,) = await app.broker.receive(first, [QUEUE], 1, wait=SECONDS)
    kept = record.encode(Result(SUCCESS, msgspec.Raw(values.encode("first")), task=run.name))
    owner = f"{first}:{delivery.number}"
    assert await app.store.put([Record(handle.id, QUEUE, kept, 60.0, owner)]) == [True]
    # Its process dies here, between the record and the removal of the job.
    await app.broker.reclaim([QUEUE], LEASE, [Ended(first, (handle.id,))])
    with worker(app):
        await eventually(lambda: handle.place == "ended", SECONDS)
        assert await handle.aget(SECONDS) == "first"
    assert runs == []
    # The process was only frozen: what it still says changes nothing.
    assert await app.broker.settle(first, [Settlement(delivery, "end")]) == [False]


@pairs
async def test_a_frozen_worker_writes_no_record_after_its_job_was_given_to_another(app: Umbel) -> None:
    @app.task
    def run() -> str:
        return "second"

    handle = await run.adelay()
    first = new_session()
    await app.broker.heartbeat([Beat(first)], [QUEUE], LEASE, opening=True)
    (delivery,) = await app.broker.receive(first, [QUEUE], 1, wait=SECONDS)
    await app.broker.reclaim([QUEUE], LEASE, [Ended(first)])
    with worker(app):
        assert await handle.aget(SECONDS) == "second"
    late = Record(handle.id, QUEUE, b"late", 60.0, f"{first}:{delivery.number}")
    assert await app.store.put([late]) == [False]
    assert await app.AsyncResult(handle.id).aget(SECONDS) == "second"
