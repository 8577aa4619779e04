"""Bulk: carries out actions on all jobs that match, in the background, step by step, whoever asked for them.

The history keeps how far each is (`umbel.history.bulk`). A dashboard that dies is followed by another one, or by itself
when it is back: what was done in its last step is done once more then, which changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

import msgspec

from umbel.app.app import Umbel
from umbel.dashboard import doing
from umbel.dashboard.doing import Outcome
from umbel.dashboard.letters import letters_that
from umbel.exceptions import BrokerFull, BrokerUnavailable, HistoryError
from umbel.history import History
from umbel.history.views import Bulk, JobRow
from umbel.model.ids import new_session

STEP: Final = 1_000
LOOK_SECONDS: Final = 5.0
"""How often somebody looks for actions that nobody carries on."""
MAX_LOOKED: Final = 200
"""Among how many of the newest actions one is looked for that runs."""
FINISHED: Final = 0
"""A cursor with nothing below it."""
_AWAY: Final = (BrokerUnavailable, BrokerFull, HistoryError, OSError, TimeoutError)
"""What is over some time: the action waits for that."""
_logger: Final = logging.getLogger("umbel.dashboard")

Audit: TypeAlias = Callable[[str, str, str, str, int, str], None]


class Step(msgspec.Struct, frozen=True):
    """What one step has done, and the *cursor* where the next one begins; `FINISHED`: there is none."""

    outcome: Outcome
    cursor: int


class Options(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What there is to know of an action beside its filter: the *signal* of a termination."""

    signal: str = ""


class Bulks:
    """Carries out what is to be done with the jobs of *app* in *history*; what came of it is told to *audit*."""

    def __init__(self, app: Umbel, history: History, audit: Audit) -> None:
        self._app = app
        self._history = history
        self._audit = audit
        self._holder = new_session()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for something to do, and look now."""
        self._wanted.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Stop where it is; somebody will go on."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            taken = await self._taken()
            if taken is not None:
                await self._carry(taken)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wanted.wait()

    async def _taken(self) -> Bulk | None:
        try:
            return await asyncio.to_thread(self._take)
        except HistoryError:
            return None  # a banner says so

    def _take(self) -> Bulk | None:
        # Looked at first: taking is writing, and would make a history where there is none.
        running = any(each.state == "running" for each in self._history.bulks(limit=MAX_LOOKED))
        return self._history.bulk_take(self._holder) if running else None

    async def _carry(self, bulk: Bulk) -> None:
        """Carry *bulk* out, until it is over, was stopped, or something is away; then it is taken again later."""
        try:
            await self._walk(bulk)
        except _AWAY as error:
            _logger.warning("%s %s waits: %s", bulk.what, bulk.filter, error)
        except Exception as error:
            _logger.exception("%s %s has failed.", bulk.what, bulk.filter)
            await self._end(bulk, str(error) or type(error).__name__)

    async def _walk(self, bulk: Bulk) -> None:
        cursor = bulk.cursor
        why: tuple[str, ...] = ()
        while cursor != FINISHED:
            step = await self._step(bulk, cursor)
            cursor = step.cursor
            why = step.outcome.reasons if step.outcome.left else why
            moved = {"done": step.outcome.done, "failed": step.outcome.left, "cursor": cursor}
            if not await asyncio.to_thread(self._history.bulk_step, bulk.id, self._holder, **moved):
                return
        await self._end(bulk, why=why)

    async def _step(self, bulk: Bulk, cursor: int | None) -> Step:
        if bulk.what.startswith("dead."):
            return await _dead_step(self._app, self._history, bulk)
        page = await asyncio.to_thread(
            self._history.jobs, bulk.filter, limit=STEP, before=cursor, upto=bulk.cutoff, at=bulk.at
        )
        rows = list(page.rows)
        outcome = await _VERBS[bulk.what](self._app, self._history, bulk, rows) if rows else Outcome(0)
        return Step(outcome, FINISHED if page.cursor is None else page.cursor)

    async def _end(self, bulk: Bulk, trouble: str = "", why: tuple[str, ...] = ()) -> None:
        with suppress(HistoryError):
            await asyncio.to_thread(self._history.bulk_end, bulk.id, self._holder, trouble)
            now = await asyncio.to_thread(self._history.bulk, bulk.id)
            done, left = (0, 0) if now is None else (now.done, now.failed)
            outcome = f"failed: {trouble}" if trouble else "finished"
            outcome += f", {left} left out, such as: {'; '.join(why)}" if left and why else ""
            await asyncio.to_thread(self._audit, bulk.who, bulk.origin, f"bulk.{bulk.what}", bulk.filter, done, outcome)


Verb: TypeAlias = Callable[[Umbel, History, Bulk, list[JobRow]], Awaitable[Outcome]]


def options_of(bulk: Bulk) -> Options:
    """The options of *bulk*."""
    return msgspec.json.decode(bulk.options or "{}", type=Options)


async def _retry(app: Umbel, history: History, bulk: Bulk, rows: list[JobRow]) -> Outcome:
    return await doing.retry(app, history, rows, bulk.id)


async def _cancel(app: Umbel, _: History, bulk: Bulk, rows: list[JobRow]) -> Outcome:
    return await doing.cancel(app, [(row.id, row.queue) for row in rows], signal=options_of(bulk).signal)


async def _delete(_: Umbel, history: History, __: Bulk, rows: list[JobRow]) -> Outcome:
    return await doing.delete(history, [row.id for row in rows])


async def _dead_step(app: Umbel, history: History, bulk: Bulk) -> Step:
    """What is done to a dead letter takes it away: each step takes the first that are left, none that came since."""
    options_of(bulk)  # refuses one of an earlier version, which said otherwise which are meant
    choice = letters_that(app, history, bulk.filter, bulk.at)
    letters = await app.dead.alist(choice, until=bulk.at, limit=STEP)
    ids = await (app.dead.adelete if bulk.what == "dead.delete" else app.dead.aretry)(letters)
    outcome = Outcome(len(ids), len(letters) - len(ids))
    return Step(outcome, bulk.cutoff if ids else FINISHED)


_VERBS: Final[dict[str, Verb]] = {
    "jobs.retry": _retry,
    "jobs.cancel": _cancel,
    "jobs.terminate": _cancel,
    "jobs.delete": _delete,
}
"""By the right that each needs."""
