"""Jobs in one engine, records in another: a job still ends once, whatever dies or is away between the two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.patient import PATIENT, UNHURRIED
from umbel import AsyncResult, Task, Umbel
from umbel.brokers import connect as broker_at
from umbel.contracts.broker import Beat, Broker, Ended, SessionDead, Settlement
from umbel.contracts.powers import Record, ResultStore
from umbel.exceptions import BackendError, BrokerUnavailable, UnknownResult
from umbel.execution.limits import Limits
from umbel.model.ids import new_id, new_session
from umbel.model.job import Delivery
from umbel.stores import connect as store_at
from umbel.testing import worker
from umbel.wire import record
from umbel.worker.child import child as module
from umbel.worker.child.child import Child
from umbel.worker.child.ledger import OtherStore
from umbel.worker.options import ChildOptions

T = TypeVar("T")

QUEUE = "default"
LEASE = 60.0
DEADLINE_SECONDS = 40.0
PAIRS = ["redis+sqlite", "sqlite+redis", "memory+sqlite", "redis+memory", "sqlite+other sqlite"]


async def until(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until *condition* is true."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await condition():  # noqa: ASYNC110 - the things waited for know no events
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_SECONDS:g} s: {what}") from None


class TrustingGate:
    """Lets every job start."""

    def trusted(self) -> bool:
        """Always."""
        return True

    def take(self, job_id: str, task: str, limits: Limits | None = None, *, isolated: bool = False) -> int:
        """Note nothing."""
        return 0

    def give(self, slot: int) -> None:
        """Note nothing."""


class Through:
    """Something that is asked through this, with what a subclass does otherwise."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class NeverSettling(Through):
    """A broker that a child never gets a verdict to: it dies in between."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.asked = asyncio.Event()

    async def settle(self, session: str, settlements: Sequence[Settlement]) -> list[bool]:
        """Never."""
        self.asked.set()
        await asyncio.Event().wait()
        return []


class Frozen(Through):
    """A broker whose child does not learn, after its first job, that its session is dead."""

    async def receive(self, session: str, queues: Sequence[str], limit: int, *, wait: float) -> list[Delivery]:
        """`Broker.receive`, until it has handed something out."""
        received: list[Delivery] = await self.inner.receive(session, queues, limit, wait=wait)
        if received:
            self.receive = _never  # type: ignore[method-assign]
        return received


async def _never(*_: Any, **__: Any) -> list[Delivery]:
    await asyncio.Event().wait()
    return []


class Away(Through):
    """A store that cannot be asked while *away* is set."""

    def __init__(self, inner: ResultStore, error: Exception) -> None:
        super().__init__(inner)
        self.away = True
        self.asked = 0
        self.put_done = asyncio.Event()
        self._error = error

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """`ResultStore.put`."""
        self._ask()
        answers = list(await self.inner.put(records))
        self.put_done.set()
        return answers

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """`ResultStore.claim`."""
        self._ask()
        return list(await self.inner.claim(claims))

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise self._error


class NeverClaiming(OtherStore):
    """The ledger without its protection: what came back is run without a look into the store."""

    async def ended(self, deliveries: Sequence[Delivery]) -> dict[str, bytes]:
        """Nobody asks."""
        return {}


class Stage:
    """One broker, one store of another engine, and a task that tells in which run it was."""

    def __init__(self, broker: str, store: str) -> None:
        self.urls = broker, store
        self.broker: Any = broker_at(broker, PATIENT)
        self.store: Any = store_at(store, PATIENT)
        self.runs: list[str] = []
        self.started = threading.Semaphore(0)
        self.let_go: dict[int, threading.Event] = {}
        self.app = self.make_app(broker, store)
        self.task: Task[..., Any] = self.app.tasks["run"]

    def make_app(self, broker: Any, store: Any) -> Umbel:
        """An app with the task ``run``: it answers how many runs of it there were before, when it is let go."""
        app = Umbel("two", broker=broker, backend=store, changes=UNHURRIED, set_as_current=False)

        @app.task(name="run", bind=True)
        def run(self: Any) -> int:
            number = len(this.runs)
            this.runs.append(self.request.id)
            this.started.release()
            if number in this.let_go:
                this.let_go[number].wait(DEADLINE_SECONDS)
            return number

        @app.task(name="fail")
        def fail() -> None:
            raise LookupError("why")

        @app.task(name="again", bind=True)
        def again(self: Any) -> int:
            if self.request.retries < 2:
                raise self.retry(countdown=0)
            return int(self.request.retries)

        this = self
        return app

    @asynccontextmanager
    async def child(self, broker: Any = None, store: Any = None, *, ready_first: bool = True) -> AsyncGenerator[str]:
        """A child for the length of the block, which then ends as if it was killed; answers its session."""
        session = new_session()
        app = self.make_app(broker or broker_at(self.urls[0], PATIENT), store or store_at(self.urls[1], PATIENT))
        await self.broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)
        options = ChildOptions(session=session, worker="w", queues=(QUEUE,), threads=1, async_slots=1, max_crashes=3)
        ready = asyncio.Event()

        async def be_ready() -> None:
            ready.set()

        running = asyncio.create_task(Child(app, options, TrustingGate()).run(be_ready))
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                if ready_first:
                    await ready.wait()
            yield session
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, SessionDead):
                await running
            await app.store.aclose()

    async def has_started(self) -> None:
        """Wait for one more start of ``run``."""
        assert await asyncio.to_thread(self.started.acquire, timeout=DEADLINE_SECONDS)

    async def gone(self, job_id: str) -> None:
        """Wait until the broker holds the job no more."""

        async def look() -> bool:
            return bool((await self.broker.alocate(job_id, QUEUE)).place == "ended")

        await until(look, "the job has ended")

    async def recorded(self, job_id: str) -> bytes:
        """Wait for the record of the job."""

        async def look() -> bytes | None:
            return await self.read(job_id)

        await until(look, "the job has a record")
        return await self.read(job_id) or b""

    async def read(self, job_id: str) -> bytes | None:
        """The record of the job, if there is one."""
        found: bytes | None = await self.store.afetch(job_id, QUEUE)
        return found

    async def send(self) -> AsyncResult[Any]:
        """A job of ``run``."""
        return await self.task.adelay()

    async def value(self, job_id: str) -> object:
        """What the record says was returned."""
        return self.task.decode_result(record.decode(await self.recorded(job_id)).value)

    async def die(self, session: str, *started: str) -> None:
        """A supervisor sees that the child is gone."""
        await self.broker.reclaim([QUEUE], LEASE, [Ended(session, started)])

    async def aclose(self) -> None:
        """Close everything."""
        await self.app.aclose()
        self.app.close()
        for part in (self.broker, self.store):
            await part.aclose()
            part.close()


@pytest.fixture(params=PAIRS)
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    def url(kind: str) -> str:
        match kind:
            case "redis":
                found: str = request.getfixturevalue("redis_url")
                return found
            case "memory":
                return f"memory://two-{new_id()}"
            case _:
                return f"sqlite:///{tmp_path}/{kind.replace(' ', '-')}.db"

    broker, store = request.param.split("+")
    made = Stage(url(broker), url(store))
    yield made
    await made.aclose()


async def test_results_errors_and_retries_arrive_in_the_store(stage: Stage) -> None:
    def work() -> None:
        with worker(stage.app):
            results = stage.task.delay_many([()] * 20)
            assert [result.get(timeout=DEADLINE_SECONDS) for result in results] == list(range(20))
            with pytest.raises(LookupError, match="why"):
                stage.app.send_task("fail").get(timeout=DEADLINE_SECONDS)
            assert stage.app.send_task("again").get(timeout=DEADLINE_SECONDS) == 2

    await asyncio.to_thread(work)
    assert await stage.read(stage.runs[0]) is not None


async def test_an_ignored_result_leaves_nothing_in_the_store(stage: Stage) -> None:
    result = await stage.task.aapply_async(ignore_result=True)
    async with stage.child():
        await stage.gone(result.id)
    assert await stage.read(result.id) is None
    with pytest.raises(UnknownResult):
        await asyncio.to_thread(result.get, timeout=DEADLINE_SECONDS)


async def test_the_first_record_stays_and_the_job_ends_all_the_same(stage: Stage) -> None:
    result = await stage.send()
    assert await stage.store.put([Record(result.id, QUEUE, b"first", 60.0)]) == [True]
    async with stage.child():
        await stage.gone(result.id)
    assert await stage.read(result.id) == b"first"


async def record_without_removal(stage: Stage) -> tuple[str, bytes]:
    """A child dies after the record was stored and before the job was removed: its id, and the record."""
    result = await stage.send()
    cut = NeverSettling(broker_at(stage.urls[0], PATIENT))
    async with stage.child(broker=cut) as session:
        await cut.asked.wait()
        stored = await stage.recorded(result.id)
        assert (await stage.broker.alocate(result.id, QUEUE)).place == "running"
    await stage.die(session)
    return result.id, stored


async def test_a_job_whose_record_was_stored_is_not_run_again_when_it_was_not_removed(stage: Stage) -> None:
    job_id, stored = await record_without_removal(stage)
    async with stage.child():
        await stage.gone(job_id)
    assert stage.runs == [job_id]
    assert await stage.read(job_id) == stored


async def test_without_a_look_into_the_store_it_would_run_twice(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OtherStore", NeverClaiming)
    job_id, stored = await record_without_removal(stage)
    async with stage.child():
        await stage.gone(job_id)
    assert stage.runs == [job_id, job_id]
    assert await stage.read(job_id) == stored  # the first record stays even so


async def zombie(stage: Stage) -> tuple[str, bytes | None]:
    """A child that lost its job ends it before the child that has it now; answers the id, and what was stored then."""
    stage.let_go |= {0: threading.Event(), 1: threading.Event()}
    late = Away(store_at(stage.urls[1], PATIENT), BrokerUnavailable("away"))
    late.away = False
    result = await stage.send()
    async with stage.child(Frozen(broker_at(stage.urls[0], PATIENT)), late) as session:
        await stage.has_started()
        await stage.die(session)
        async with stage.child():
            await stage.has_started()
            stage.let_go[0].set()
            await late.put_done.wait()
            found = await stage.read(result.id)
            stage.let_go[1].set()
            await stage.gone(result.id)
    return result.id, found


async def test_what_a_child_stores_after_another_took_its_job_over_is_refused(stage: Stage) -> None:
    job_id, early = await zombie(stage)
    assert early is None
    assert await stage.value(job_id) == 1
    assert stage.runs == [job_id, job_id]


async def test_without_the_claim_it_would_be_stored(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OtherStore", NeverClaiming)
    job_id, _ = await zombie(stage)
    assert await stage.value(job_id) == 0


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), BackendError("damaged")], ids=["away", "damaged"])
async def test_while_the_store_is_away_outcomes_wait_and_each_job_ends_once(stage: Stage, error: Exception) -> None:
    away = Away(store_at(stage.urls[1], PATIENT), error)
    async with stage.child(store=away):
        sent = [await stage.send() for _ in range(20)]

        async def tried() -> bool:
            return away.asked >= 3 and len(stage.runs) >= 1

        # Not all need run before the store is back: what a slow child hands back waits for a look into the store.
        await until(tried, "some have run and none could be stored")
        places = {(await stage.broker.alocate(each.id, QUEUE)).place for each in sent}
        assert places <= {"ready", "running"}
        away.away = False
        for each in sent:
            await stage.gone(each.id)
    assert sorted(stage.runs) == sorted(each.id for each in sent)
    assert sorted([await stage.value(each.id) for each in sent]) == list(range(20))  # type: ignore[type-var]


async def test_a_job_that_came_back_waits_for_the_store_before_it_runs(stage: Stage) -> None:
    job_id, stored = await record_without_removal(stage)
    away = Away(store_at(stage.urls[1], PATIENT), BrokerUnavailable("away"))
    async with stage.child(store=away, ready_first=False):

        async def tried() -> bool:
            return away.asked >= 3

        await until(tried, "it asks the store again and again")
        away.away = False
        await stage.gone(job_id)
    assert stage.runs == [job_id]
    assert await stage.read(job_id) == stored
