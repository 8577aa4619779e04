"""Recorder: reads the event log of a broker into the history, and keeps that right and small. Any number may run.

It is bounded: it reads a few batches, writes them, notes where it is in the same transaction, and reads on. Whatever is
away, the log, the broker or the history, it waits and goes on where it was; jobs know nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from umbel.clock import clock
from umbel.contracts.event_log import OLDEST, EventLog, Kept
from umbel.contracts.history import Archive, Transaction
from umbel.contracts.powers import Inspector, ResultStore
from umbel.exceptions import DecodeError, HistoryError, HistoryFull, HistoryUnavailable, UmbelError
from umbel.history.behind import Behind
from umbel.history.courtesy import Backlog, Courtesy
from umbel.history.ingest import Ingest, told_by
from umbel.history.notes import CURSOR, LAG, RECORDED, TROUBLE, Notes
from umbel.history.reconciling import AT_ONCE, Reconciler
from umbel.history.retention import Retention, Terms
from umbel.history.sampling import PERIOD_SECONDS, Sampler
from umbel.model.event import Batch
from umbel.retelling import read

READ_BATCHES: Final = 16
"""How many batches, of about 128 KiB, are in the memory of a recorder at once."""
WRITE_EVENTS: Final = 2_000
LITTLE_EVENTS: Final = 500
"""About how many events share a transaction, and how many when processors are short."""
WAIT_SECONDS: Final = 1.0
RECONCILE_SECONDS: Final = 60.0
PRUNE_SECONDS: Final = 60.0
LONGEST_PAUSE: Final = 10.0
_AWAY: Final = (UmbelError, OSError)

_logger: Final = logging.getLogger("umbel.recorder")


class Source(msgspec.Struct, frozen=True):
    """What is recorded: a *broker*, by its *name* (a URL without secrets), its log, and what can be asked of it."""

    name: str
    broker: object
    log: EventLog
    inspector: Inspector | None = None
    store: ResultStore | None = None
    bound: int = 1_000
    """About how many batches its log keeps."""


class Written(NamedTuple):
    """A write: how many batches it *took* from the log, how many were *new*, how far they lag, and what it cost."""

    took: int
    new: int
    lag: float
    seconds: float
    ran: float
    """For how many of the *seconds* a processor was ours."""


class Recorder:
    """Records *source* in *archive*; *clock* answers unix seconds: those of the engine, which moments are on."""

    def __init__(self, archive: Archive, source: Source, terms: Terms, clock: Callable[[], float] = clock.now) -> None:
        self._archive = archive
        self._source = source
        self._clock = clock
        self._ingest = Ingest(archive)
        self._over = threading.Event()
        self._retention = Retention(archive, terms, self._over.wait)
        self._key = f"{CURSOR}:{source.name}"
        self._cursor: str | None = None
        self._courtesy = Courtesy()
        self._behind = Behind(source.log, source.bound)
        self.name = source.name
        """What is recorded: a URL without secrets."""
        self.trouble = ""
        """What keeps the history from being written at the moment; empty: nothing."""

    async def run(self, stop: asyncio.Event) -> None:
        """Record until *stop* is set."""
        self._over.clear()
        periodic = [asyncio.create_task(each) for each in self._periodic()]
        try:
            await self._read(stop)
        finally:
            self._over.set()
            for each in periodic:
                each.cancel()
            await asyncio.gather(*periodic, return_exceptions=True)

    async def catch_up(self) -> int:
        """Write what the log has by now, and answer how many batches were new."""
        new = 0
        while kept := await self._source.log.read(await self._place(), READ_BATCHES, 0.0):
            new += await self._written(kept)
        return new

    # --- from the log

    async def _read(self, stop: asyncio.Event) -> None:
        pause = 0.0
        while not stop.is_set():
            try:
                cursor = await self._place()
                kept = await _unless(stop, self._source.log.read(cursor, READ_BATCHES, WAIT_SECONDS))
                if len(kept) < READ_BATCHES:
                    await self._behind.reached(len(kept))
                if kept and not _counts_anew(cursor, kept[0].cursor):
                    await self._written(kept, stop)
                elif kept or (not stop.is_set() and await self._is_another(cursor)):
                    await self._begin_anew(cursor)
                pause = 0.0
                self._well()
            except _AWAY as error:
                pause = min(max(0.5, pause * 2), LONGEST_PAUSE)
                await self._ill(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()

    async def _is_another(self, cursor: str) -> bool:
        """Whether the log, which has nothing after *cursor*, is not the one that gave it: it was wiped, say."""
        log = self._source.log
        end = await log.end()
        if not cursor or not end or end == cursor:
            return False
        return not await log.read(cursor, 1, 0.0) and await log.end() == end  # else it has come meanwhile

    async def _begin_anew(self, cursor: str) -> None:
        _logger.warning("The log of events is not the one that it was: it is read from its start.")
        self._cursor = await asyncio.to_thread(self._begun_anew, cursor)
        self._behind.lost()

    def _begun_anew(self, cursor: str) -> str:
        now = self._clock()

        def step(transaction: Transaction) -> str:
            notes = Notes(transaction)
            if (noted := notes.get(self._key)) != cursor:  # another recorder was first
                return noted
            notes.put(self._key, OLDEST)
            transaction.rows("ingest.put_gap", f"log {self._source.name}", int(now), int(now), now, 0)
            return OLDEST

        return self._archive.write(step)

    async def _place(self) -> str:
        if self._cursor is None:
            self._cursor = await asyncio.to_thread(
                lambda: self._archive.write(lambda transaction: Notes(transaction).get(self._key))
            )
        return self._cursor

    async def _written(self, kept: Sequence[Kept], stop: asyncio.Event | None = None) -> int:
        """Write *kept*, in transactions of about 2,000 events; answers how many batches were new.

        Until *stop* is set it gives way to jobs in between; None: it does not.
        """
        new = 0
        while kept:
            most = LITTLE_EVENTS if stop is not None and self._courtesy.little() else WRITE_EVENTS
            written = await asyncio.to_thread(self._write_some, kept, most)
            self._cursor = kept[written.took - 1].cursor
            self._behind.passed(written.took)
            new += written.new
            kept = kept[written.took :]
            if stop is not None:
                await self._give_way(written, stop)
        return new

    def _write_some(self, kept: Sequence[Kept], most: int) -> Written:
        """Write about *most* events of *kept* in one transaction."""
        begun, ran = time.monotonic(), time.thread_time()
        batches: list[Batch] = []
        took = events = 0
        while took < len(kept) and events < most:
            try:
                batches.append(read(kept[took].batch, rows=True))
            except DecodeError as error:
                _logger.warning("A batch of events is left out: %s", error)
            else:
                events += told_by(batches[-1])
            took += 1
        new = self._write(batches, kept[took - 1].cursor)
        lag = max((self._clock() - batch.at for batch in batches), default=0.0)
        ran = time.thread_time() - ran  # within the other, and so never more
        return Written(took, new, lag, time.monotonic() - begun, ran)

    async def _give_way(self, written: Written, stop: asyncio.Event) -> None:
        if not self._courtesy.short():
            return
        backlog = Backlog(written.lag, await self._behind.fill())
        if pause := self._courtesy.pause(written.seconds, written.ran, backlog):
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()

    def _write(self, batches: Sequence[Batch], cursor: str) -> int:
        now = self._clock()
        lag = max((now - batch.at for batch in batches), default=0.0)
        notes = ((self._key, cursor), (RECORDED, repr(_here(now))), (LAG, repr(max(lag, 0.0))), (TROUBLE, ""))
        try:
            return self._ingest.write(batches, now, notes).batches
        except (HistoryFull, HistoryUnavailable):
            raise
        except HistoryError as error:
            if len(batches) > 1:  # one that cannot be written must not keep the others out, nor those to come
                return sum(self._write([batch], cursor) for batch in batches)
            _logger.error("A batch of events cannot be written and is left out: %s", error)  # noqa: TRY400
            return self._ingest.write([], now, notes).batches

    # --- beside it

    def _periodic(self) -> Sequence[Coroutine[Any, Any, None]]:
        inspector, source = self._source.inspector, self._source
        found = [self._steadily(self._prune, PRUNE_SECONDS), self._steadily(self._sign, PERIOD_SECONDS)]
        if inspector is not None:
            sampler = Sampler(self._archive, source.broker, inspector, self._clock)
            reconciler = Reconciler(self._archive, inspector, source.store, self._clock)
            found.append(self._steadily(sampler.sample, PERIOD_SECONDS))
            found.append(self._steadily(lambda: self._reconcile(reconciler), RECONCILE_SECONDS))
        return found

    async def _steadily(self, step: Callable[[], Awaitable[object]], period: float) -> None:
        while True:
            try:
                await step()
            except _AWAY as error:
                _logger.debug("Tried again in %g s: %s", period, error)
            await asyncio.sleep(period)

    async def _prune(self) -> None:
        await asyncio.to_thread(self._retention.prune, self._clock())

    async def _reconcile(self, reconciler: Reconciler) -> None:
        found = AT_ONCE
        while found >= AT_ONCE:
            found = await reconciler.sweep()

    async def _sign(self) -> None:
        """Say that somebody records, and what is in the way if anything is."""
        told = ((RECORDED, repr(_here(self._clock()))), (TROUBLE, self.trouble))

        def step(transaction: Transaction) -> None:
            for key, value in told:
                Notes(transaction).put(key, value)

        await asyncio.to_thread(self._archive.write, step)

    def _well(self) -> None:
        if self.trouble:
            _logger.info("Recording again.")
            self.trouble = ""

    async def _ill(self, error: Exception) -> None:
        if not self.trouble:
            _logger.warning("Not recording, jobs go on: %s", error)
        self.trouble = str(error)
        with suppress(*_AWAY):
            await self._sign()


def _here(moment: float) -> float:
    """The *moment* on the clock of this host, which is most often that of those who ask, too."""
    return moment - clock.ahead


def _counts_anew(cursor: str, first: str) -> bool:
    """Whether *first*, which came after *cursor*, is before it: where cursors are numbers, that can be seen."""
    return cursor.isdecimal() and first.isdecimal() and int(first) <= int(cursor)


async def _unless(stop: asyncio.Event, reading: Coroutine[Any, Any, list[Kept]]) -> list[Kept]:
    """What *reading* answers; nothing, and at once, when *stop* is set."""
    read, stopped = asyncio.ensure_future(reading), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((read, stopped), return_when=asyncio.FIRST_COMPLETED)
        return read.result() if read.done() else []
    finally:
        for each in (read, stopped):
            each.cancel()
        await asyncio.gather(read, stopped, return_exceptions=True)
