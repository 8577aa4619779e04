"""The result store in the memory of this process: the records that the broker over the same space writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from umbel.contracts.powers import Record
from umbel.engines.memory import Ear, Space, space
from umbel.settings import Settings


def connect(url: str, settings: Settings) -> MemoryStore:  # noqa: ARG001 - the shape of every store's factory
    """The store over the space that *url* names. Raises `ImproperlyConfigured`."""
    return MemoryStore(space(url))


class MemoryStore:
    """A result store over a `Space`; *clock* answers unix seconds. Ids need no queue as a hint here."""

    def __init__(self, space: Space, clock: Callable[[], float] | None = None) -> None:
        self._space = space
        self._clock = clock or time.time

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - the hint is not needed
        """The record of *job_id*; see `ResultStore.fetch`."""
        with self._space.lock:
            return self._space.record(job_id, self._clock())

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The record of *job_id*; see `ResultStore.fetch`."""
        return self.fetch(job_id, queue)

    def fetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:  # noqa: ARG002 - see fetch
        """The records of *job_ids*; see `ManyFetcher`."""
        with self._space.lock:
            now = self._clock()
            return [self._space.record(job_id, now) for job_id in job_ids]

    async def afetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The async twin of `fetch_many`."""
        return self.fetch_many(job_ids, queue)

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        heard = threading.Event()
        found = self._listen(job_id, queue, heard.set)
        if found is not None:
            return found
        try:
            heard.wait(timeout)
        finally:
            self._hang_up(job_id, heard.set)
        return self.fetch(job_id, queue)

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        ear = Ear()
        found = self._listen(job_id, queue, ear.wake)
        if found is not None:
            return found
        try:
            await ear.wait(timeout)
        finally:
            self._hang_up(job_id, ear.wake)
        return self.fetch(job_id, queue)

    def _listen(self, job_id: str, queue: str | None, wake: Callable[[], object]) -> bytes | None:
        with self._space.lock:
            found = self.fetch(job_id, queue)
            if found is None:
                self._space.news.join([job_id], wake)
            return found

    def _hang_up(self, job_id: str, wake: Callable[[], object]) -> None:
        with self._space.lock:
            self._space.news.leave([job_id], wake)

    def forget(self, job_id: str, queue: str | None) -> None:  # noqa: ARG002 - see fetch
        """Delete the record; see `ResultStore.forget`."""
        with self._space.lock:
            self._space.records.pop(job_id, None)

    async def aforget(self, job_id: str, queue: str | None) -> None:
        """Delete the record; see `ResultStore.forget`."""
        self.forget(job_id, queue)

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins; see `ResultStore.put`."""
        now = self._clock()
        with self._space.lock:
            return [self._put(record, now) for record in records]

    def _put(self, record: Record, now: float) -> bool:
        owner, until = self._space.claims.get(record.id, ("", 0.0))
        if self._space.record(record.id, now) is None and until > now and owner != record.owner:
            return False
        self._space.keep(record.id, record.value, record.ttl, now)
        return self._space.record(record.id, now) == record.value

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner; see `ResultStore.claim`."""
        now = self._clock()
        with self._space.lock:
            return [self._claim(claim, now) for claim in claims]

    def _claim(self, claim: Record, now: float) -> bytes | None:
        found = self._space.record(claim.id, now)
        if found is None:
            self._space.claims[claim.id] = (claim.owner, now + claim.ttl)
        return found

    def close(self) -> None:
        """Nothing to give back."""

    async def aclose(self) -> None:
        """Nothing to give back."""
