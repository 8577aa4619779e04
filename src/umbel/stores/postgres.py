"""The result store in a PostgreSQL database: the records that the broker there writes, or those of another."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

from umbel.contracts.powers import Record
from umbel.engines import postgres_health
from umbel.engines.operation import Operation, adrive, drive
from umbel.engines.postgres import Engine
from umbel.engines.postgres_address import parse
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_command import Command, Statements
from umbel.engines.postgres_listener import Listener, Nap
from umbel.engines.postgres_topics import result
from umbel.engines.postgres_values import Blobs, key, moment, plain, texts
from umbel.engines.unfit import Unfit
from umbel.exceptions import BackendError, BrokerError, BrokerUnavailable, ImproperlyConfigured
from umbel.model.finding import Finding
from umbel.settings import Settings

T = TypeVar("T")
Steps: TypeAlias = Operation[Command, T]

SQL: Final = Statements("umbel.stores", "postgres")


def connect(url: str, settings: Settings) -> PostgresStore:
    """The store in the database that *url* names; opens nothing yet. Raises `ImproperlyConfigured`."""
    return PostgresStore(url, settings)


class PostgresStore:
    """A result store in one PostgreSQL database; ids need no queue as a hint here.

    *clock* answers unix seconds and is for tests: it replaces the server's clock.
    """

    def __init__(self, url: str, settings: Settings, clock: Callable[[], float] | None = None) -> None:
        address = parse(url, settings.broker_connection_timeout)
        self._engine = Engine(address, settings.broker_send_deadline)
        self._bells = Bells(self._engine)
        self._listener = Listener(address)
        self._clock = clock

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The record of *job_id*; see `ResultStore.fetch`."""
        del queue
        return self._do(self._fetch(job_id))

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:
        """The record of *job_id*; see `ResultStore.fetch`."""
        del queue
        return await self._ado(self._fetch(job_id))

    def fetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The records of *job_ids*; see `ManyFetcher`."""
        del queue
        return self._do(self._fetch_many(job_ids))

    async def afetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:
        """The async twin of `fetch_many`."""
        del queue
        return await self._ado(self._fetch_many(job_ids))

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        end = _end(timeout)
        found = self.fetch(job_id, queue)
        woken = threading.Event()
        with self._listener.expecting([result(job_id)], woken.set):
            while found is None and (left := _left(end)) != 0:
                woken.wait(left)
                woken.clear()  # before the look: an end during it is heard
                found = self.fetch(job_id, queue)
        return found

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        end = _end(timeout)
        found = await self.afetch(job_id, queue)
        nap = Nap()
        with self._listener.expecting([result(job_id)], nap.wake):
            while found is None and (left := _left(end)) != 0:
                await nap.sleep(left)
                found = await self.afetch(job_id, queue)
        return found

    def forget(self, job_id: str, queue: str | None) -> None:
        """Delete the record; see `ResultStore.forget`."""
        del queue
        self._do(_forget(job_id))

    async def aforget(self, job_id: str, queue: str | None) -> None:
        """Delete the record; see `ResultStore.forget`."""
        del queue
        await self._ado(_forget(job_id))

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins; see `ResultStore.put`."""
        answers = await self._ado(self._put(records)) if records else []
        ended = [record.id for record, stored in zip(records, answers, strict=True) if stored]
        self._bells.ring_later(Counter(), ended)
        return answers

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner; see `ResultStore.claim`."""
        return await self._ado(self._claim(claims)) if claims else []

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the server and our tables; see `Examiner`."""
        del thorough
        with _translated():
            return await postgres_health.examine(self._engine)

    def close(self) -> None:
        """Give back all connections of this process."""
        self._listener.close()
        self._engine.close()

    async def aclose(self) -> None:
        """Give back the connections of this event loop."""
        await self._bells.flush()
        await self._engine.aclose()

    def _now(self) -> str | None:
        return None if self._clock is None else moment(self._clock())

    def _fetch(self, job_id: str) -> Steps[bytes | None]:
        (rows,) = yield [SQL("postgres.fetch", key(job_id), self._now())]
        return rows[0][0] if rows else None

    def _fetch_many(self, job_ids: Sequence[str]) -> Steps[list[bytes | None]]:
        (found,) = yield [SQL("postgres.claimed", plain(key(job_id) for job_id in job_ids), self._now())]
        records = dict(found)
        return [records.get(place) for place in range(1, len(job_ids) + 1)]

    def _put(self, records: Sequence[Record]) -> Steps[list[bool]]:
        first: dict[str, Record] = {}
        for record in records:
            first.setdefault(key(record.id), record)
        ids, owners = plain(first), texts(record.owner for record in first.values())
        values, ttls = Blobs(record.value for record in first.values()), plain(each.ttl for each in first.values())
        now, share = self._now(), str(2 * len(records))
        *_, stored = yield [
            SQL("postgres.expire", share, now),
            SQL("postgres.expire_claims", share, now),
            SQL("postgres.lock", ids),
            SQL("postgres.put", ids, owners, values, ttls, now),
            SQL("postgres.stored", plain(key(each.id) for each in records), Blobs(each.value for each in records), now),
        ]
        places = {place for (place,) in stored}
        return [place in places for place in range(1, len(records) + 1)]

    def _claim(self, claims: Sequence[Record]) -> Steps[list[bytes | None]]:
        last = {key(claim.id): claim for claim in claims}
        owners, ttls = texts(each.owner for each in last.values()), plain(each.ttl for each in last.values())
        _, ended = yield [
            SQL("postgres.claim", plain(last), owners, ttls, self._now()),
            SQL("postgres.claimed", plain(key(claim.id) for claim in claims), self._now()),
        ]
        records = dict(ended)
        return [records.get(place) for place in range(1, len(claims) + 1)]

    def _do(self, steps: Steps[T]) -> T:
        with _translated():
            return drive(steps, self._engine.call)

    async def _ado(self, steps: Steps[T]) -> T:
        with _translated():
            return await adrive(steps, self._engine.acall)


def _forget(job_id: str) -> Steps[None]:
    yield [SQL("postgres.forget", key(job_id))]


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


def _end(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())
