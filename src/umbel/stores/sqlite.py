"""The result store in one SQLite file: the records that the broker over the same file writes, or those of another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from umbel.contracts.powers import Record
from umbel.engines import sqlite_health
from umbel.engines.sqlite import Durability, SqliteEngine
from umbel.engines.sqlite_bells import Bells
from umbel.engines.sqlite_file import Connection, File
from umbel.engines.sqlite_lease import Clock
from umbel.engines.sqlite_listener import Ear, Listener
from umbel.engines.statements import statements
from umbel.exceptions import BackendError
from umbel.model.finding import Finding
from umbel.settings import Settings

STORE: Final = statements("umbel.stores", "sqlite.sql")


def connect(url: str, settings: Settings) -> SqliteStore:
    """The store in the file that *url* names; opens nothing yet. Raises `ImproperlyConfigured`."""
    return SqliteStore(File(url, "result_backend", settings.broker_send_deadline, BackendError))


class SqliteStore:
    """A result store in one file, shared by all processes of one host; ids need no queue as a hint here.

    *clock* answers unix seconds.
    """

    def __init__(self, file: File, clock: Callable[[], float] | None = None) -> None:
        self._engine = SqliteEngine(file)
        self._clock = Clock(clock)
        self._bells = Bells(file.folder)
        self._listener = Listener(self._bells)

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - the hint is not needed
        """The record of *job_id*; see `ResultStore.fetch`."""
        return self._engine.read(lambda connection: _fetch(connection, job_id, self._clock.wall()))

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - see fetch
        """The record of *job_id*; see `ResultStore.fetch`."""
        return await self._engine.submit_read(lambda connection: _fetch(connection, job_id, self._clock.wall()))

    def fetch_many(self, job_ids: Sequence[str], queue: str | None) -> list[bytes | None]:  # noqa: ARG002 - see fetch
        """The records of *job_ids*; see `ManyFetcher`."""
        return self._engine.read(lambda connection: _fetch_many(connection, job_ids, self._clock.wall()))

    async def afetch_many(
        self,
        job_ids: Sequence[str],
        queue: str | None,  # noqa: ARG002 - see fetch
    ) -> list[bytes | None]:
        """The async twin of `fetch_many`."""
        return await self._engine.submit_read(lambda connection: _fetch_many(connection, job_ids, self._clock.wall()))

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        found = self.fetch(job_id, queue)
        if found is not None:
            return found
        end = None if timeout is None else time.monotonic() + timeout
        heard = threading.Event()
        with self._listener.expecting(job_id, heard.set):
            while True:
                heard.clear()  # before the look: an end during it is heard
                found = self.fetch(job_id, queue)
                left = _left(end)
                if found is not None or (left is not None and left <= 0):
                    return found
                heard.wait(left)

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        found = await self.afetch(job_id, queue)
        if found is not None:
            return found
        end = None if timeout is None else time.monotonic() + timeout
        ear = Ear()
        with self._listener.expecting(job_id, ear.wake):
            while True:
                found = await self.afetch(job_id, queue)
                left = _left(end)
                if found is not None or (left is not None and left <= 0):
                    return found
                await ear.wait(left)

    def forget(self, job_id: str, queue: str | None) -> None:  # noqa: ARG002 - see fetch
        """Delete the record; see `ResultStore.forget`."""
        self._engine.call(lambda connection: _forget(connection, job_id))

    async def aforget(self, job_id: str, queue: str | None) -> None:  # noqa: ARG002 - see fetch
        """Delete the record; see `ResultStore.forget`."""
        await self._engine.submit(lambda connection: _forget(connection, job_id))

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins; see `ResultStore.put`."""

        def step(connection: Connection) -> list[bool]:
            now = self._clock.wall()
            answers = [_put(connection, record, now) for record in records]
            connection.execute(STORE["expire"], (now, 2 * len(records)))
            return answers

        def announce(_: list[bool]) -> None:
            self._bells.tell([record.id for record in records])

        return await self._engine.submit(step, after=announce)

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner; see `ResultStore.claim`."""

        def step(connection: Connection) -> list[bytes | None]:
            now = self._clock.wall()
            answers = [_claim(connection, claim, now) for claim in claims]
            connection.execute(STORE["expire_claims"], (now, 2 * len(claims)))
            return answers

        return await self._engine.submit(step, durable=Durability.ANSWERED)

    async def examine(self, *, thorough: bool = False) -> list[Finding]:
        """How it stands with the file and its disk; *thorough* checks every page. See `Examiner`."""
        return await sqlite_health.examine(self._engine, thorough=thorough)

    def close(self) -> None:
        """Close the file in this process; the next use opens it again."""
        self._listener.close()
        self._engine.close()
        self._bells.close()

    async def aclose(self) -> None:
        """The same as `close`: one connection serves all threads and event loops of the process."""
        self.close()


def _fetch(connection: Connection, job_id: str, now: int) -> bytes | None:
    row = connection.execute(STORE["fetch"], (job_id, now)).fetchone()
    return None if row is None else row[0]


def _fetch_many(connection: Connection, job_ids: Sequence[str], now: int) -> list[bytes | None]:
    return [_fetch(connection, job_id, now) for job_id in job_ids]


def _forget(connection: Connection, job_id: str) -> None:
    connection.execute(STORE["forget"], (job_id,))


def _put(connection: Connection, record: Record, now: int) -> bool:
    found = _fetch(connection, record.id, now)
    if found is not None:
        return found == record.value
    owner = connection.execute(STORE["owner"], (record.id, now)).fetchone()
    if owner is not None and owner[0] != record.owner:
        return False
    connection.execute(STORE["put"], (record.id, now + round(record.ttl * 1000), record.owner, record.value))
    connection.execute(STORE["unclaim"], (record.id,))
    return True


def _claim(connection: Connection, claim: Record, now: int) -> bytes | None:
    found = _fetch(connection, claim.id, now)
    if found is None:
        connection.execute(STORE["claim"], (claim.id, now + round(claim.ttl * 1000), claim.owner))
    return found


def _left(end: float | None) -> float | None:
    return None if end is None else end - time.monotonic()
