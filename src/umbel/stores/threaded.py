"""A result store over a plain shelf: what blocks runs in a few threads, for sync and async callers alike."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from umbel.contracts.powers import Record
from umbel.engines.threads import Threads
from umbel.exceptions import OperationalError
from umbel.model.finding import Finding
from umbel.stores.polling import Poller

P = ParamSpec("P")
T = TypeVar("T")

_logger = logging.getLogger("umbel.stores")


class Shelf(Protocol):
    """What an engine must do for a `ThreadedStore`: a few blocking calls, safe between threads, repeatable.

    Each keeps its own deadline and raises `BrokerUnavailable` when it has passed, `BackendError` for what is refused.
    """

    name: str
    """The address as it may be printed."""
    tidy_seconds: float
    """How often `tidy` is worth its cost."""

    def look(self, ids: Collection[str]) -> Mapping[str, bytes]:
        """The records of *ids* that are there."""
        ...

    def put(self, records: Sequence[Record]) -> list[bool]:
        """See `ResultStore.put`."""
        ...

    def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """See `ResultStore.claim`."""
        ...

    def forget(self, job_id: str) -> None:
        """Delete the record, if there is one."""
        ...

    def tidy(self) -> None:
        """Delete what has expired."""
        ...

    def examine(self, *, thorough: bool) -> Sequence[Finding]:
        """See `Examiner.examine`."""
        ...

    def close(self) -> None:
        """Give back what is open; the next call opens it again."""
        ...


class InProcess(NamedTuple):
    """What belongs to one process: a poller has a thread as well."""

    pid: int
    threads: Threads
    poller: Poller


class ThreadedStore:
    """`ResultStore` over a *shelf*; ids need no queue as a hint here. *deadline* is in seconds."""

    def __init__(self, shelf: Shelf, deadline: float) -> None:
        self._shelf = shelf
        self._deadline = deadline
        self._living: InProcess | None = None
        self._tidy_at = 0.0

    def fetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - the hint is not needed
        """The record of *job_id*; see `ResultStore.fetch`."""
        return self._here().threads.call(self._shelf.look, (job_id,)).get(job_id)

    async def afetch(self, job_id: str, queue: str | None) -> bytes | None:  # noqa: ARG002 - see fetch
        """The async twin of `fetch`."""
        return (await self._here().threads.acall(self._shelf.look, (job_id,))).get(job_id)

    def watch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """Wait for the record; see `ResultStore.watch`."""
        if timeout is None or timeout > 0:
            poller = self._here().poller
            future = poller.join(job_id)
            try:
                return future.result(timeout)
            except TimeoutError:
                pass  # it may have come since the last look
            finally:
                poller.leave(job_id, future)
        return self.fetch(job_id, queue)

    async def awatch(self, job_id: str, queue: str | None, timeout: float | None) -> bytes | None:
        """The async twin of `watch`."""
        if timeout is None or timeout > 0:
            poller = self._here().poller
            future = poller.join(job_id)
            try:
                async with asyncio.timeout(timeout):
                    return await asyncio.wrap_future(future)
            except TimeoutError:
                pass  # see watch
            finally:
                poller.leave(job_id, future)
        return await self.afetch(job_id, queue)

    def forget(self, job_id: str, queue: str | None) -> None:  # noqa: ARG002 - see fetch
        """Delete the record; see `ResultStore.forget`."""
        self._here().threads.call(self._shelf.forget, job_id)

    async def aforget(self, job_id: str, queue: str | None) -> None:  # noqa: ARG002 - see fetch
        """The async twin of `forget`."""
        await self._here().threads.acall(self._shelf.forget, job_id)

    async def put(self, records: Sequence[Record]) -> list[bool]:
        """Store records, first wins; see `ResultStore.put`."""
        if not records:
            return []
        threads = self._here().threads
        answers = await threads.acall(self._shelf.put, records)
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + self._shelf.tidy_seconds
            threads.start(self._tidy)
        return answers

    async def claim(self, claims: Sequence[Record]) -> list[bytes | None]:
        """Claim ids for their owner; see `ResultStore.claim`."""
        return await self._here().threads.acall(self._shelf.claim, claims) if claims else []

    async def examine(self, *, thorough: bool = False) -> Sequence[Finding]:
        """How it stands with the server; see `Examiner`."""
        return await self._here().threads.acall(self._shelf.examine, thorough=thorough)

    def close(self) -> None:
        """Give back what is open; the next use opens it again."""
        self._living = None  # calls and waits under way end as they would have
        self._shelf.close()

    async def aclose(self) -> None:
        """The same as `close`: the threads serve all event loops of the process."""
        self.close()

    def _here(self) -> InProcess:
        living = self._living
        if living is None or living.pid != os.getpid():
            threads = Threads(self._shelf.name, self._deadline)
            look = self._shelf.look
            poller = Poller(lambda ids: threads.call(look, ids))
            living = self._living = InProcess(os.getpid(), threads, poller)
        return living

    def _tidy(self) -> None:
        try:
            self._shelf.tidy()
        except OperationalError as error:  # nobody waits for it, and the next one does the same
            _logger.debug("expired results were not deleted: %s", error)
