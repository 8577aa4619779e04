"""The result store on Redis: fetch, put and claim; `watching` waits."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from umbel.contracts.powers import Record
from umbel.engines import redis_health
from umbel.engines.operation import adrive, drive
from umbel.engines.patience import ONE_TRY
from umbel.engines.redis_address import parse
from umbel.engines.redis_layout import events
from umbel.engines.redis_opening import opened
from umbel.engines.unfit import Unfit
from umbel.exceptions import BackendError, BrokerError, BrokerUnavailable, ImproperlyConfigured
from umbel.model.finding import Finding
from umbel.settings import Settings
from umbel.stores.redis import operations
from umbel.stores.redis.operations import Scripts, Steps
from umbel.stores.redis.watching import awatch, watch

T = TypeVar("T")


class RedisResultStore:
    """`ResultStore` on one database of a Redis server; also reads what a broker on that database wrote."""

    def __init__(self, url: str, settings: Settings) -> None:
        one_try = ONE_TRY * settings.broker_send_deadline
        address = parse(url, timeout=one_try, connect_timeout=settings.broker_connection_timeout)
        self._engine = opened(address, settings.broker_send_deadline)
        self._channel = events(address.db)
        self._scripts = Scripts()
        self._known: set[str] = set()

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The record of *job_id*, or None; *queue* None costs one more round trip."""
        return self._do(operations.fetch(job_id, queue))

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The async twin of `fetch`."""
        return await self._ado(operations.fetch(job_id, queue))

    def fetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The records of *job_ids*; see `ManyFetcher`."""
        return self._do(operations.fetch_many(job_ids, queue))

    async def afetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The async twin of `fetch_many`."""
        return await self._ado(operations.fetch_many(job_ids, queue))

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record up to *timeout* seconds on a connection of this call alone; None when time is up."""
        with _translated():
            return watch(self._engine, self._channel + job_id.encode(), job_id, queue, timeout)

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """The async twin of `watch`; all of a loop wait on one connection."""
        with _translated():
            return await awatch(self._engine, self._channel + job_id.encode(), job_id, queue, timeout)

    def forget(self, job_id: str, queue: str | None) -> None:
        """Delete the record, if there is one."""
        self._do(operations.forget(job_id, queue))

    async def aforget(self, job_id: str, queue: str | None) -> None:
        """The async twin of `forget`."""
        await self._ado(operations.forget(job_id, queue))

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store *records*, the first of each id wins; one round trip."""
        if not records:
            return []
        new = {record.queue for record in records} - self._known
        answers = await self._ado(operations.put(self._scripts, records, new, self._channel))
        self._known |= new
        return answers

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim each id for its owner; one round trip."""
        if not claims:
            return []
        new = {record.queue for record in claims} - self._known
        answers = await self._ado(operations.claim(self._scripts, claims, new))
        self._known |= new
        return answers

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the server; see `Examiner`."""
        del thorough
        with _translated():
            return await redis_health.examine(self._engine)

    def close(self) -> None:
        """Give back all connections of this process."""
        self._engine.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        await self._engine.aclose()

    def _do(self, steps: Steps[T]) -> T:
        with _translated():
            return drive(steps, self._engine.call)

    async def _ado(self, steps: Steps[T]) -> T:
        with _translated():
            return await adrive(steps, self._engine.acall)


@contextmanager
def _translated() -> Generator[None]:
    """What a store refuses is a `BackendError`; one that cannot be reached is `BrokerUnavailable` like any server."""
    try:
        yield
    except BrokerUnavailable:
        raise
    except ImproperlyConfigured as error:
        raise Unfit(str(error)) from error
    except BrokerError as error:
        raise BackendError(str(error)) from error
