"""Scheduler: one loop that reads what changed, announces the code's schedules, and writes the ticks that are due.

Any number of them may run: whoever writes a tick first has sent its job, the others are refused and go on. So that they
do not all write at once, the one that wrote last comes first and the others a little later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

import msgspec

from umbel.contracts.schedules import ScheduleStore
from umbel.exceptions import BrokerFull, DecodeError, UmbelError
from umbel.model.job import Job
from umbel.model.schedule import MAX_CHANGES, Change, Entry, State
from umbel.scheduler.agenda import NEVER, Agenda
from umbel.schedules.book import Book, Planned
from umbel.schedules.clocked import clocked
from umbel.schedules.policy import Due, begun, due, rule_of
from umbel.schedules.versions import digest_of
from umbel.wire.ticks import job_at

DEADLINE_SECONDS: Final = 15.0
"""For one look at everything that is due; among it may be many jobs to look up."""
BEHIND_SECONDS: Final = (0.02, 0.12)
"""By how much a scheduler that did not write last comes later than one that did: in between, by its session."""
BUSY_MILLISECONDS: Final = 1000
"""How often to look whether the job that a tick waits for has ended."""
FULL_SECONDS: Final = 1.0
"""How long to leave a full server alone."""
READ_ALL_SECONDS: Final = 600.0

logger = logging.getLogger("umbel.scheduler")

T = TypeVar("T")
Living: TypeAlias = Callable[[str, str], Awaitable[bool]]
"""Whether the job of that id in that queue has not ended."""


class Patient(Protocol):
    """Whoever makes an attempt until the broker answers, each within *deadline* seconds."""

    async def insist(self, attempt: Callable[[], Awaitable[T]], deadline: float) -> T:
        """The answer of *attempt*."""
        ...


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How to schedule. *scope* is the app's name; nothing is read for at most *interval* seconds."""

    session: str
    scope: str
    interval: float


class Scheduler:
    """One scheduler over *store*, for the schedules *entries* of the code and stored ones; *living* looks up jobs."""

    def __init__(self, store: ScheduleStore, living: Living, terms: Terms, entries: Sequence[Entry]) -> None:
        self._store = store
        self._living = living
        self._terms = terms
        self._entries = tuple(entries)
        self._digest = digest_of(entries)
        self._book = Book()
        self._agenda = Agenda()
        self._offset = 0.0
        self._all_read = -READ_ALL_SECONDS
        self._first = self._full = False
        low, high = BEHIND_SECONDS
        self._behind = low + (high - low) * zlib.crc32(terms.session.encode()) / 2**32
        self._news = asyncio.Event()
        self.told: Callable[[str, Job], None] | None = None
        """Told of the jobs that ticks have sent, with the name of the schedule."""

    def replace(self, entries: Sequence[Entry]) -> None:
        """From now on the code has *entries*: it was reloaded."""
        self._entries = tuple(entries)
        self._digest = digest_of(entries)
        self._news.set()

    async def run(self, outage: Patient) -> None:
        """Schedule for ever."""
        while True:
            self._news.clear()
            try:
                seconds = await outage.insist(self.step, DEADLINE_SECONDS)
            except UmbelError:
                raise  # the broker refuses us: a wrong password, for example
            except Exception:
                # A mistake of our own must not stop the jobs of this worker, and other schedulers may do better.
                logger.exception("The scheduler stumbled over a mistake of its own")
                seconds = self._terms.interval
            # Not wait_for: before Python 3.12 that forgets a cancellation which meets the news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    async def step(self) -> float:
        """Look once and do what is due; answers for how many seconds there is nothing to do."""
        try:
            seconds = await self._step()
        except BrokerFull as error:
            # A full server takes no new jobs, but leases go on: so this is no outage of the broker.
            if not self._full:
                logger.error("Ticks wait, the broker is full: %s", error)  # noqa: TRY400 - the text says all
            self._full = True
            return FULL_SECONDS
        self._full = False
        return seconds

    async def _step(self) -> float:
        now = await self._read()
        if await self._announce(now):
            return 0.0
        changes = await self._due(now)
        if not changes:
            return self._pause()
        answers = await self._write(changes)
        self._first = any(answers)
        return 0.0

    async def _read(self) -> int:
        """Read what changed; answers the time (unix ms) by the broker's clock, so that all schedulers have one."""
        started = time.monotonic()
        fresh = started - self._all_read >= READ_ALL_SECONDS
        table = await self._store.aread(0 if fresh else self._book.revision)
        if fresh:
            self._all_read = started
            self._book.reset(table)
        elif not self._book.merge(table):
            table = await self._store.aread(0)
            self._book.reset(table)
        self._offset = table.now - time.monotonic()
        return round(table.now * 1000)

    async def _announce(self, now: int) -> bool:
        """Announce the schedules of the code if it is time to; answers whether anything was written."""
        first, then = self._book.announce(self._terms.scope, self._digest, self._entries, now)
        if not first:
            return False
        if all(await self._write(first)) and then:
            await self._write(then)
        return True

    async def _due(self, now: int) -> list[Change]:
        """The changes that are due."""
        changes: list[Change] = []
        for each in list(self._agenda.pending(self._planned(), now)):
            try:
                change = await self._change(each, now)
            except (DecodeError, ValueError) as error:
                self._agenda.give_up(each, error)
                continue
            if change is None:
                self._agenda.hold(each, now + BUSY_MILLISECONDS)
            else:
                changes.append(change)
        return changes

    def _planned(self) -> dict[str, Planned]:
        planned = self._book.plan((self._terms.scope,))
        for name, each in list(planned.items()):
            if each.scope is not None and self._is_anothers(each):
                self._agenda.give_up(each, "another app has one of that name")
                del planned[name]
        return planned

    def _is_anothers(self, each: Planned) -> bool:
        owner = each.scope if each.state is None else each.state.scope
        if owner is None or owner == each.scope:
            return False
        return any(entry.name == each.entry.name for entry in self._book.from_code(owner))

    async def _change(self, each: Planned, now: int) -> Change | None:
        """What has to be written for *each*; None if its tick waits for the last job to end."""
        name, state = each.entry.name, each.state
        fresh = begun(each.entry, state, each.scope, now)
        if fresh is not None or state is None:
            return self._book.change_state(name, fresh)
        found = due(each.entry, state, now)
        if found is None:
            raise ValueError("its ticks contradict one another")
        ticks = await self._ticks(each.entry, state, found)
        if ticks is None:
            return None
        jobs = [job_at(each.entry, tick) for tick in ticks]
        if state.entry is not None and isinstance(rule_of(each.entry.rule), clocked):
            return self._book.change_state(name, None, jobs)  # once: it is done with
        moved = msgspec.structs.replace(state, last=found.last, scope=each.scope, runs=state.runs + len(jobs))
        if jobs:
            moved = msgspec.structs.replace(moved, job=jobs[-1].id, queue=jobs[-1].queue, tick=ticks[-1], sent=now)
        return self._book.change_state(name, moved, jobs)

    async def _ticks(self, entry: Entry, state: State, found: Due) -> tuple[int, ...] | None:
        """Which ticks run, as *entry* has it with a job that has not ended; None if the tick waits for that."""
        if entry.overlap == "allow":
            return found.ticks
        if state.job and await self._living(state.job, state.queue):
            return None if entry.overlap == "queue" else ()
        return (found.last,) if entry.overlap == "queue" else found.ticks[-1:]

    async def _write(self, changes: Sequence[Change]) -> list[bool]:
        answers: list[bool] = []
        for start in range(0, len(changes), MAX_CHANGES):
            part = changes[start : start + MAX_CHANGES]
            written = await self._store.awrite(part)
            for change, ours in zip(part, written, strict=True):
                for job in change.jobs if ours else ():
                    name = change.name.partition(":")[2]
                    logger.info("Sent %s for the schedule %s", job.id, name)
                    if self.told is not None:
                        self.told(name, job)
            answers += written
        return answers

    def _pause(self) -> float:
        tick = self._agenda.next()
        if tick == NEVER:
            return self._terms.interval
        seconds = tick / 1000 - (time.monotonic() + self._offset)
        return min(self._terms.interval, max(seconds, 0.0) + (0.0 if self._first else self._behind))
