"""A trial tells a store that will do from one that will not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from umbel.contracts.powers import Record
from umbel.engines.memory import Space
from umbel.exceptions import BackendError, BrokerUnavailable
from umbel.settings import Settings
from umbel.stores.memory import MemoryStore
from umbel.stores.trial import try_out


class Noting(MemoryStore):
    """A store that notes what was put."""

    def __init__(self) -> None:
        super().__init__(Space())
        self.noted: list[Record] = []

    async def put(self, records: Sequence[Record]) -> list[bool]:
        self.noted += records
        return await super().put(records)


class Overwriting(Noting):
    """A store where the last record wins."""

    async def put(self, records: Sequence[Record]) -> list[bool]:
        for record in records:
            await self.aforget(record.id, record.queue)
        return await super().put(records)


class Away(Noting):
    """A store that cannot be reached."""

    async def put(self, records: Sequence[Record]) -> list[bool]:
        raise BrokerUnavailable("away")

    async def aforget(self, job_id: str, queue: str | None) -> None:
        raise AssertionError("nothing was put, so there is nothing to forget")


async def test_a_store_that_will_do_keeps_nothing_of_the_trial() -> None:
    store = Noting()
    await try_out(store, Settings())
    assert [await store.afetch(record.id, record.queue) for record in store.noted] == [None, None]
    assert {len(record.value) for record in store.noted} == {1}


async def test_a_store_where_the_last_record_wins_is_refused() -> None:
    with pytest.raises(BackendError, match="did not keep the first of two records"):
        await try_out(Overwriting(), Settings())


async def test_a_store_that_is_away_is_told_at_once() -> None:
    with pytest.raises(BrokerUnavailable):
        await try_out(Away(), Settings())


async def test_where_large_results_go_elsewhere_a_large_one_is_tried() -> None:
    store = Noting()
    await try_out(store, Settings(result_object_store="s3://bucket", result_inline_max_bytes=100))
    assert {len(record.value) for record in store.noted} == {101}
