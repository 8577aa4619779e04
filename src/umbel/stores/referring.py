"""A result store whose large records are objects elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from umbel.contracts.examiner import Examiner
from umbel.contracts.fetching import afetch_many, fetch_many
from umbel.contracts.powers import Record, ResultStore
from umbel.model.finding import Finding

if TYPE_CHECKING:  # it needs a driver
    from umbel.stores.large import LargeRecords


class ReferringStore:
    """A result *store* whose large records are kept by *large*. Callers see the records themselves."""

    def __init__(self, store: ResultStore, large: LargeRecords) -> None:
        self._store = store
        self.large = large

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The record of *job_id*; see `ResultStore.fetch`."""
        return self.large.read(self._store.fetch(job_id, queue))

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The async twin of `fetch`."""
        return await self.large.aread(await self._store.afetch(job_id, queue))

    def fetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The records of *job_ids*; see `ManyFetcher`."""
        return [self.large.read(found) for found in fetch_many(self._store, job_ids, queue)]

    async def afetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The async twin of `fetch_many`."""
        return [await self.large.aread(found) for found in await afetch_many(self._store, job_ids, queue)]

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        return self.large.read(self._store.watch(job_id, queue, timeout))

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """The async twin of `watch`."""
        return await self.large.aread(await self._store.awatch(job_id, queue, timeout))

    def forget(self, job_id: str, queue: str | None) -> None:
        """Delete the record and its object; see `ResultStore.forget`."""
        found = self._store.fetch(job_id, queue)
        self._store.forget(job_id, queue)
        self.large.forget(found)

    async def aforget(self, job_id: str, queue: str | None) -> None:
        """The async twin of `forget`."""
        found = await self._store.afetch(job_id, queue)
        await self._store.aforget(job_id, queue)
        await self.large.aforget(found)

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins; see `ResultStore.put`."""
        return await self._store.put(await self.large.stow(records))

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner; see `ResultStore.claim`."""
        return [await self.large.aread(found) for found in await self._store.claim(claims)]

    async def examine(self, *, thorough: bool = False) -> Sequence[Finding]:
        """How it stands with the server of the store; see `Examiner`."""
        return await self._store.examine(thorough=thorough) if isinstance(self._store, Examiner) else ()

    def close(self) -> None:
        """Give back all connections of this process."""
        self._store.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        await self._store.aclose()
