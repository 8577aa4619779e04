"""What a broker guarantees that is its own result store: record, follow-ups and removal are one step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest

from umbel.contracts.broker import Ended, Settlement
from umbel.contracts.powers import Record, ResultStore
from umbel.model.job import Counts
from umbel.testing.conformance.eventually import eventually, soon
from umbel.testing.conformance.results import PROMPT_SECONDS
from umbel.testing.conformance.stage import QUEUE, BrokerStage

BRIEF: Final = 0.25


class RecordConformance(BrokerStage):
    """Records written by a settle. A second hook, `make_store`, reads them."""

    store: ResultStore

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        """Make a result store over the data of the brokers that `make` makes."""
        raise NotImplementedError(f"{type(self).__name__} must define make_store(clock)")

    @pytest.fixture(autouse=True)
    async def _stage_store(self, _stage: None) -> AsyncIterator[None]:
        self.store = self.make_store(self.clock)
        yield
        await self.store.aclose()
        self.store.close()

    async def test_a_job_that_has_not_ended_has_no_record(self) -> None:
        await self.started()
        assert await self.store.afetch("job", QUEUE) is None

    @pytest.mark.parametrize("kind", ["end", "dead"])
    async def test_the_record_of_a_settle_is_stored(self, kind: str) -> None:
        session, delivery = await self.started()
        settlement = Settlement(delivery, kind, record=b"record", ttl=60.0)  # type: ignore[arg-type]
        assert await self.settle(session, settlement) == [True]
        assert await self.store.afetch("job", QUEUE) == b"record"
        assert self.store.fetch("job", None) == b"record"

    @pytest.mark.parametrize("kind", ["retry", "release", "park"])
    async def test_a_job_that_goes_on_gets_no_record(self, kind: str) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, kind, record=b"record", task="task"))  # type: ignore[arg-type]
        assert await self.store.afetch("job", QUEUE) is None

    async def test_a_job_that_ended_without_a_record_leaves_an_empty_one(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery)
        assert await self.store.afetch("job", QUEUE) == b""

    async def test_a_repeated_settle_leaves_the_record_alone(self) -> None:
        session, delivery = await self.started()
        await self.end(session, delivery, record=b"first")
        assert await self.end(session, delivery, record=b"second") == [False]
        assert await self.store.afetch("job", QUEUE) == b"first"

    async def test_a_stale_settle_stores_no_record(self) -> None:
        session, old = await self.started()
        await self.settle(session, Settlement(old, "release"))
        new = await self.take_one(session, "job")
        assert await self.end(session, old, record=b"old") == [False]
        assert await self.store.afetch("job", QUEUE) is None
        await self.end(session, new, record=b"new")
        assert await self.store.afetch("job", QUEUE) == b"new"

    async def test_a_dead_session_stores_no_record(self) -> None:
        session, delivery = await self.started()
        await self.reclaim(Ended(session))
        assert await self.end(session, delivery, record=b"zombie") == [False]
        assert await self.store.afetch("job", QUEUE) is None

    async def test_the_first_record_of_a_job_wins(self) -> None:
        session, delivery = await self.started()
        await self.store.put([_record("job", b"first")])
        assert await self.end(session, delivery, record=b"second") == [True]
        assert await self.store.afetch("job", QUEUE) == b"first"

    async def test_a_record_expires_and_its_id_is_free_again(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "end", record=b"record", ttl=BRIEF))
        await self.advance(BRIEF)
        await eventually(lambda: self.store.fetch("job", QUEUE) is None)
        await self.send("job")
        await self.take_one(session, "job")

    async def test_a_done_mark_expires_and_its_id_is_free_again(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "end", ttl=BRIEF))
        await self.advance(BRIEF)
        await eventually(lambda: self.store.fetch("job", QUEUE) is None)
        await self.send("job")
        await self.take_one(session, "job")

    async def test_a_settle_wakes_whoever_waits_for_the_record(self) -> None:
        session, delivery = await self.started()
        waiting = asyncio.create_task(self.store.awatch("job", QUEUE, 30.0))
        blocking = asyncio.create_task(asyncio.to_thread(self.store.watch, "job", QUEUE, 30.0))
        await asyncio.sleep(0.1)
        await self.end(session, delivery, record=b"record")
        for each in (waiting, blocking):
            assert await soon(each, PROMPT_SECONDS) == b"record"

    async def test_a_settle_without_a_record_wakes_as_well(self) -> None:
        session, delivery = await self.started()
        waiting = asyncio.create_task(self.store.awatch("job", QUEUE, 30.0))
        await asyncio.sleep(0.1)
        await self.end(session, delivery)
        assert await soon(waiting, PROMPT_SECONDS) == b""

    async def test_a_retry_before_the_end_leaves_no_trace_in_the_record(self) -> None:
        session, delivery = await self.started()
        await self.settle(session, Settlement(delivery, "retry", record=b"retry", counts=Counts(retries=1)))
        await self.end(session, await self.take_one(session, "job"), record=b"end")
        assert await self.store.afetch("job", QUEUE) == b"end"


def _record(job_id: str, value: bytes) -> Record:
    return Record(job_id, QUEUE, value, 60.0)
