"""Doing: what can be done to jobs, few or many: they are sent again, cancelled, terminated, or their records deleted.

Each may be repeated: a job is sent again once for each act, and what has ended stays ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from umbel.app.app import Umbel
from umbel.app.resending import Again, Kept, aresend
from umbel.app.revoking import Stopped
from umbel.contracts.powers import Inspector
from umbel.exceptions import UmbelError
from umbel.history import History
from umbel.history.states import ENDED
from umbel.history.views import JobRow

AT_ONCE: Final = 100
"""How many envelopes, of up to 256 KiB, are in memory at once."""
_OVER: Final = frozenset({*ENDED, "unknown"})
_BURIED: Final = "it is a dead letter: have that run again"
NOT_KEPT: Final = (
    "its envelope is not kept: it was larger than 256 KiB, arguments of it are secret, or it was recorded in part"
)


class Outcome(msgspec.Struct, frozen=True):
    """How many jobs something was *done* to, and to how many not (*left*), with reasons; *ids* of new jobs."""

    done: int
    left: int = 0
    reasons: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


async def retry(app: Umbel, history: History, rows: Sequence[JobRow], action: str) -> Outcome:
    """Send *rows* again as new jobs, each once for *action*. Raises `BrokerError` and `HistoryError`."""
    found: list[Again] = []
    for start in range(0, len(rows), AT_ONCE):
        found += await _retried(app, history, rows[start : start + AT_ONCE], action)
    ids = tuple(each.id for each in found if each.id)
    return Outcome(len(ids), len(rows) - len(ids), reasons(each.trouble for each in found if not each.id), ids)


async def _retried(app: Umbel, history: History, rows: Sequence[JobRow], action: str) -> list[Again]:
    over = [row for row in rows if row.state in _OVER]
    kept = await asyncio.to_thread(history.envelopes, [row.id for row in over])
    answers = [Again(row.id, trouble=f"it is {row.state}: it has not ended") for row in rows if row.state not in _OVER]
    buried = {row.id for row in over if row.state == "dead" and await _is_buried(app, row)}
    answers += [Again(each, trouble=_BURIED) for each in buried]
    answers += [Again(row.id, trouble=NOT_KEPT) for row in over if row.id not in kept and row.id not in buried]
    sent = [row for row in over if row.id in kept and row.id not in buried]
    jobs = [Kept(row.id, row.queue, row.priority, kept[row.id]) for row in sent]
    return answers + await aresend(app, jobs, action)


async def _is_buried(app: Umbel, row: JobRow) -> bool:
    """Whether the engine has *row* among its dead letters: sent anew, it would be there twice."""
    broker = app.broker
    return isinstance(broker, Inspector) and (await broker.alocate(row.id, row.queue or None)).place == "dead"


async def cancel(app: Umbel, jobs: Sequence[tuple[str, str]], *, signal: str = "") -> Outcome:
    """Revoke *jobs*, pairs of id and queue (empty: not known); with *signal* those that run are ended by it.

    Raises as `Control.revoke`.
    """
    stopped, troubles = await _stopped(app, [(job_id, queue or None) for job_id, queue in jobs], signal)
    left = [one for one in stopped if not _is_touched(one)]
    words = {"dead": "it is a dead letter", "ended": "it had ended", "unknown": "the engine does not know it"}
    running = sum(one.place == "running" for one in stopped)
    told = [] if not running else [f"{running} running {'told to end' if signal else 'not retried when it ends'}"]
    why = reasons([*troubles, *(words.get(one.place, one.place) for one in left)])
    return Outcome(len(stopped) - len(left), len(left) + len(troubles), (*told, *why))


async def _stopped(app: Umbel, keys: Sequence[tuple[str, str | None]], signal: str) -> tuple[list[Stopped], list[str]]:
    """What became of *keys*; and why some cannot be cancelled alone, for their flow has not sent them yet."""
    try:
        return await app.control.arevoke_jobs(keys, terminate=bool(signal), signal=signal or None), []
    except UmbelError as error:
        if type(error) is not UmbelError:
            raise
        if len(keys) == 1:
            return [], [str(error)]
    found: list[Stopped] = []
    troubles: list[str] = []
    for key in keys:  # one of them is such a job: what was done to the others is told, too
        stopped, trouble = await _stopped(app, [key], signal)
        found += stopped
        troubles += trouble
    return found, troubles


async def delete(history: History, ids: Sequence[str]) -> Outcome:
    """Have the history forget the jobs *ids*."""
    gone = await asyncio.to_thread(history.delete, ids)
    return Outcome(gone, len(ids) - gone, () if gone == len(ids) else ("the history does not know them",))


def reasons(told: Iterable[str]) -> tuple[str, ...]:
    """Each reason once, with how often it was met if that is more than once; the most frequent first."""
    counted = Counter(told).most_common(3)
    return tuple(text if n == 1 else f"{text} ({n} times)" for text, n in counted)


def _is_touched(one: Stopped) -> bool:
    return one.marked or one.place in ("ready", "delayed", "held", "parked", "running")
