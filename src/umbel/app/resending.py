"""Resending: sends jobs anew, as new jobs, from the envelopes that are kept of them. The old jobs stay as they are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

import msgspec

from umbel.admitting import Made, adispatch
from umbel.app.app import Umbel
from umbel.calling import process
from umbel.canvas.anew import anew
from umbel.exceptions import DecodeError, DuplicateJob, EncodeError, NotRegistered, UmbelError
from umbel.model.job import Job
from umbel.result import AsyncResult
from umbel.retelling import RETRY_OF
from umbel.wire.envelope import MAX_ENVELOPE_BYTES, Envelope, decode, encode
from umbel.wire.ticks import NAME_HEADER, TICK_HEADER

AT_ONCE: Final = 200
"""How many jobs leave in one round trip."""
_OF_THE_TICK: Final = (NAME_HEADER, TICK_HEADER)


class Kept(msgspec.Struct, frozen=True):
    """A job of which an envelope is kept: what is needed to send it anew."""

    id: str
    queue: str
    priority: int
    envelope: bytes


class Again(msgspec.Struct, frozen=True):
    """What became of the job *of*: it was sent again as *id*; or, if that is empty, *trouble* says why it was not."""

    of: str
    id: str = ""
    trouble: str = ""


class Unsendable(UmbelError):
    """The job cannot be sent again; the message says why, and what to do instead."""


def next_id(action: str, job_id: str) -> str:
    """The id of the job that *action* sends for *job_id*: the same one each time, so that a repeat sends nothing."""
    return str(uuid5(uuid5(NAMESPACE_OID, action), job_id))


def renewed(kept: Kept, action: str, now: float, limit: int = MAX_ENVELOPE_BYTES) -> Job:
    """*kept* as a new job, of at most *limit* bytes, that starts at once. Raises `Unsendable`.

    Nothing is left of what belonged to the old one: its counts, its moment, its group, the tick of its schedule, the
    ids of its callbacks and errbacks, which are new ones each time. Values of steps stay, so that it goes on behind
    them.
    """
    old = _read(kept.envelope)
    if old.part is not None:
        raise Unsendable(f"it is part of the flow {old.part.flow}: retry the flow, which goes on where it failed")
    headers = {name: value for name, value in (old.headers or {}).items() if name not in _OF_THE_TICK}
    new = msgspec.structs.replace(
        old,
        headers={**headers, RETRY_OF: kept.id},
        created=now,
        origin=process.origin,
        eta=None,
        expires=None,
        group_id=None,
        in_chord=False,
        replaced=0,
    )
    try:
        body = encode(new, limit)
    except EncodeError as error:
        raise Unsendable(str(error)) from error
    return Job(next_id(action, kept.id), kept.queue, body, kept.priority)


def _read(envelope: bytes) -> Envelope:
    try:
        return anew(decode(envelope, len(envelope)))
    except (DecodeError, EncodeError, RecursionError) as error:
        raise Unsendable(f"it cannot be read: {error}") from error


async def aresend(app: Umbel, jobs: Sequence[Kept], action: str) -> list[Again]:
    """Send *jobs* anew for *action*, the id of one deliberate act: repeated, it sends each of them once.

    Unique keys, limits and the length of queues count as for any job that is sent. Raises `BrokerUnavailable`,
    `BrokerFull`, `QueueFull` or `BrokerError`; jobs before that may have been sent.
    """
    answers: list[Again] = []
    now = time.time()
    for start in range(0, len(jobs), AT_ONCE):
        answers += await _aresend(app, jobs[start : start + AT_ONCE], action, now)
    return answers


async def _aresend(app: Umbel, jobs: Sequence[Kept], action: str, now: float) -> list[Again]:
    answers: dict[str, Again] = {}
    made: list[tuple[str, str, Made]] = []
    for kept in jobs:
        try:
            job = renewed(kept, action, now, app.conf.message_max_bytes)
            made.append((kept.id, job.id, _made(app, job)))
        except (Unsendable, NotRegistered) as error:
            answers[kept.id] = Again(kept.id, trouble=str(error))
    if made:
        await _sent(app, [each for _, _, each in made])
    for old, new, each in made:
        stands = each.handle.id
        held = f"job {stands} has its unique key, so it was not sent"
        answers[old] = Again(old, new) if stands == new else Again(old, trouble=held)
    return [answers[kept.id] for kept in jobs]


async def _sent(app: Umbel, made: Sequence[Made]) -> None:
    try:
        await adispatch(app, made)
    except DuplicateJob:
        return  # told after all the others were sent; the handle names the holder


def _made(app: Umbel, job: Job) -> Made:
    task = app.task_named(_task(job.envelope))
    return Made(job, AsyncResult[Any](job.id, app, task, job.queue))


def _task(envelope: bytes) -> str:
    found: Envelope = decode(envelope, len(envelope))
    return found.task
