"""DeadLetters: `app.dead` lists jobs that were given up and why, has them run again, or deletes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from umbel.app.queues import job_info
from umbel.app.seat import Seat, inspector, job_store, known_queues, waited
from umbel.contracts.jobs import MAX_TAKEN, Listed
from umbel.contracts.powers import ManyFetcher
from umbel.exceptions import DecodeError, WorkerLostError
from umbel.model.event import Event
from umbel.model.failure import Failure
from umbel.model.job import Job
from umbel.wire import record

PAGE: Final = 500
SHOWING: Final = "showing dead letters"
ALL: Final = 1_000_000
MAX_LOOKED: Final = 40
"""How many pages of the engine are looked at for one of ours."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are meant: those for which all holds that is given. *since* and *until* are unix times.

    *ids* and *queues*: all if empty. *reason* is a text that type or message of the error contains, in any case.
    """

    ids: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    task: str | None = None
    reason: str | None = None
    since: float | None = None
    until: float | None = None
    limit: int = ALL


class Choice(Protocol):
    """Chooses among dead letters by more than `Wanted` says."""

    def may_be_in(self, queue: str) -> bool:
        """Whether letters of *queue* can be chosen; if not, they are not looked at."""
        ...

    def letters(self, found: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Those of *found* that are chosen; called in a thread."""
        ...


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was given up. *buried* is unix time; *envelope* is as it was sent.

    *reason* is type and message of its last error, empty when its record is gone (forgotten or expired), as are then
    *traceback* and *worker*. *attempts* counts its runs: the first, its retries, its crashes.
    """

    id: str
    queue: str
    task: str
    args: Any
    kwargs: Any
    buried: float | None
    reason: str
    attempts: int
    retries: int
    crashes: int
    worker: str
    traceback: str
    envelope: bytes
    priority: int


class LetterPage(msgspec.Struct, frozen=True):
    """Some dead letters. *after* is what to hand in for those that follow; None: there are none."""

    letters: list[DeadLetter]
    after: str | None


Letters: TypeAlias = list[DeadLetter]
_Ids: TypeAlias = list[str]
_Records: TypeAlias = list[bytes | None]


class DeadLetters:
    """The dead letters of the app's broker. All raise `ImproperlyConfigured` when it cannot show them."""

    def __init__(self, seat: Seat) -> None:
        """Ask the broker of *seat*."""
        self._seat = seat

    def list(self, choice: Choice | None = None, **wanted: Any) -> Letters:
        """The dead letters for which all of *wanted* holds, see `Wanted`: ``list(queues=["a"], task="app.pay")``.

        *choice* may leave out some of them.
        """
        return waited(self._seat, self.alist(choice, **wanted))

    async def alist(self, choice: Choice | None = None, **wanted: Any) -> Letters:
        """The async twin of `list`."""
        asked = _wanted(wanted)
        job_store(self._seat, SHOWING)  # an engine that shows none may also know of no queue
        found: Letters = []
        for queue in await self._queues(asked, choice):
            async for letters, _ in self._pages(queue, asked, choice):
                found += letters
                if len(found) >= asked.limit:
                    return found[: asked.limit]
        return found

    def page(self, after: str = "", choice: Choice | None = None, **wanted: Any) -> LetterPage:
        """About *limit* of those that `list` answers, those that follow *after*; in each queue the oldest come first.

        It looks at a bounded number of dead letters, so a page may be short, or empty, although others follow.
        """
        return waited(self._seat, self.apage(after, choice, **wanted))

    async def apage(self, after: str = "", choice: Choice | None = None, **wanted: Any) -> LetterPage:
        """The async twin of `page`."""
        asked = _wanted(wanted)
        job_store(self._seat, SHOWING)
        first, _, cursor = after.partition(" ")
        found: Letters = []
        looked = 0
        for queue in sorted(await self._queues(asked, choice)):
            if queue < first:
                continue
            start = cursor if queue == first else ""
            async for letters, last in self._pages(queue, asked, choice, start, asked.limit):
                found += letters
                looked += 1
                if len(found) >= asked.limit or looked >= MAX_LOOKED:
                    return LetterPage(found, f"{queue} {last}")
        return LetterPage(found, None)

    def get(self, job_id: str) -> DeadLetter | None:
        """The dead letter *job_id*, or None."""
        return waited(self._seat, self.aget(job_id))

    async def aget(self, job_id: str) -> DeadLetter | None:
        """The async twin of `get`."""
        location = await inspector(self._seat).alocate(str(job_id), None)
        if location.place != "dead":
            return None
        return next(iter(await self.alist(ids=(str(job_id),), queues=(location.queue,), limit=1)), None)

    def retry(self, letters: Sequence[DeadLetter]) -> _Ids:
        """Have *letters*, from `list`, run again under their ids, counted anew; answers the ids of those that will.

        One that somebody else revived or deleted meanwhile is not among them. The record of its end is deleted.
        """
        return waited(self._seat, self.aretry(letters))

    async def aretry(self, letters: Sequence[DeadLetter]) -> _Ids:
        """The async twin of `retry`."""
        store = job_store(self._seat, "reviving dead letters")
        done: _Ids = []
        for queue, ids in _by_queue(letters):
            if not self._seat.same_engine:
                for job_id in ids:  # before: the record of its end would be taken for the one of its next run
                    await self._seat.store.aforget(job_id, queue)
            done += _those(ids, await store.arevive(queue, ids))
        if self._seat.teller is not None:
            self._seat.teller.revived([_job(letter) for letter in _of(letters, done)])
        return done

    def delete(self, letters: Sequence[DeadLetter]) -> _Ids:
        """Delete *letters* for ever; their records stay. Answers the ids of those that were still there."""
        return waited(self._seat, self.adelete(letters))

    async def adelete(self, letters: Sequence[DeadLetter]) -> _Ids:
        """The async twin of `delete`."""
        store = job_store(self._seat, "deleting dead letters")
        done: _Ids = []
        for queue, ids in _by_queue(letters):
            done += _those(ids, await store.adiscard(queue, ids))
        if self._seat.teller is not None:
            for letter in _of(letters, done):
                self._seat.teller.say(_deleted(letter))
        return done

    async def _queues(self, wanted: Wanted, choice: Choice | None) -> Sequence[str]:
        found = await known_queues(self._seat, wanted.queues)
        return found if choice is None else [queue for queue in found if choice.may_be_in(queue)]

    async def _pages(
        self, queue: str, wanted: Wanted, choice: Choice | None, after: str = "", size: int = PAGE
    ) -> AsyncIterator[tuple[Letters, str]]:
        """Those of *queue* after a cursor that are *wanted*, of *size* that were looked at; and the cursor behind."""
        store = job_store(self._seat, SHOWING)
        while page := await store.ajobs(queue, "dead", after, min(size, PAGE)):
            after = page[-1].cursor
            likely = [job for job in page if _may_be(job, wanted)]
            records = await self._records(likely, queue)
            letters = [_letter(job, stored) for job, stored in zip(likely, records, strict=True)]
            letters = [letter for letter in letters if _is(letter, wanted)]
            if choice is not None and letters:
                letters = [*await asyncio.to_thread(choice.letters, letters)]
            yield letters, after

    async def _records(self, jobs: Sequence[Listed], queue: str) -> _Records:
        store = self._seat.store
        ids = [job.id for job in jobs]
        if isinstance(store, ManyFetcher):
            return list(await store.afetch_many(ids, queue))
        return [await store.afetch(job_id, queue) for job_id in ids]


def _wanted(given: dict[str, Any]) -> Wanted:
    """Raises `TypeError` for a filter that there is not, or one that is of another type."""
    try:
        return msgspec.convert(given, Wanted, strict=True)
    except msgspec.ValidationError as error:
        raise TypeError(f"dead letters cannot be chosen so: {error}") from None


def _may_be(job: Listed, wanted: Wanted) -> bool:
    """Whether what the broker tells of *job* fits; what its envelope and record tell is looked at later."""
    if wanted.ids and job.id not in wanted.ids:
        return False
    if wanted.since is not None and (job.at or 0.0) < wanted.since:
        return False
    return wanted.until is None or (job.at or 0.0) <= wanted.until


def _is(letter: DeadLetter, wanted: Wanted) -> bool:
    if wanted.task is not None and letter.task != wanted.task:
        return False
    return wanted.reason is None or wanted.reason.casefold() in letter.reason.casefold()


def _letter(job: Listed, stored: bytes | None) -> DeadLetter:
    info = job_info(job)
    failure, worker = None, ""
    if stored:
        with suppress(DecodeError):
            ended = record.decode(stored)
            failure, worker = ended.failure, ended.worker
    return DeadLetter(
        id=job.id,
        queue=job.queue,
        task=info.task,
        args=info.args,
        kwargs=info.kwargs,
        priority=info.priority,
        buried=job.at,
        reason=info.error if failure is None else f"{failure.type}: {failure.message}",
        attempts=_attempts(job, failure) if not info.error else 0,
        retries=job.counts.retries,
        crashes=job.counts.crashes,
        worker=worker,
        traceback="" if failure is None else failure.traceback,
        envelope=job.envelope,
    )


def _attempts(job: Listed, failure: Failure | None) -> int:
    """How often it was run: each retry and each crash ended one run, and the last run ended it, if no crash did."""
    lost = failure is not None and failure.type == WorkerLostError.__name__
    return job.counts.retries + job.counts.crashes + (0 if lost else 1)


def _by_queue(letters: Iterable[DeadLetter]) -> Iterator[tuple[str, list[str]]]:
    """The queues of *letters*, each with ids, at most as many as one call takes."""
    queues: dict[str, list[str]] = {}
    for letter in letters:
        if not isinstance(letter, DeadLetter):
            raise TypeError(f"{letter!r} is no dead letter: give those that `list` or `get` answers")
        queues.setdefault(letter.queue, []).append(letter.id)
    for queue, ids in queues.items():
        for start in range(0, len(ids), MAX_TAKEN):
            yield queue, ids[start : start + MAX_TAKEN]


def _of(letters: Sequence[DeadLetter], done: Sequence[str]) -> Letters:
    known = {letter.id: letter for letter in letters}
    return [known[job_id] for job_id in done]


def _job(letter: DeadLetter) -> Job:
    return Job(letter.id, letter.queue, letter.envelope, priority=letter.priority)


def _deleted(letter: DeadLetter) -> Event:
    body = {"reason": "deleted"}
    return Event("task-revoked", time.time(), letter.id, letter.task, letter.queue, letter.attempts, body)


def _those(ids: Sequence[str], done: Sequence[bool]) -> _Ids:
    return [job_id for job_id, each in zip(ids, done, strict=True) if each]
