"""The job of a tick: a schedule's template with what differs from tick to tick."""

from __future__ import annotations

import uuid
import zlib
from typing import Final

import msgspec

from umbel.model.ids import new_id
from umbel.model.job import Job
from umbel.model.schedule import Entry
from umbel.wire import envelope

NAME_HEADER: Final = "umbel_schedule"
TICK_HEADER: Final = "umbel_tick"
_TICKS: Final = uuid.UUID("0f7c9f0e-6f0b-5f5e-8a55-5b0c2d8f6b1d")


def template(body: bytes, *, relative: bool) -> bytes:
    """The envelope *body* without what differs from process to process and from moment to moment.

    *relative*: the job expires some time after its tick, so it has no moment of its own for that.
    """
    read = envelope.decode(body, len(body))
    expires = None if relative else read.expires
    kept = msgspec.structs.replace(
        read, created=0.0, origin=None, root_id=None, parent_id=None, eta=None, expires=expires
    )
    return envelope.pack(kept)


def tick_id(name: str, tick: int) -> str:
    """The id of the job of schedule *name* at *tick* (unix ms): the same whoever computes it."""
    return str(uuid.uuid5(_TICKS, f"{name}\n{tick}"))


def job_at(entry: Entry, tick: int) -> Job:
    """The job of *entry* at *tick* (unix ms). Raises `DecodeError` for a template that cannot be read."""
    moment = tick / 1000
    later = entry.countdown + _jitter(entry, tick)
    return _job(entry, tick_id(entry.name, tick), moment, moment + later if later else None)


def job_now(entry: Entry, now: float) -> Job:
    """A job of *entry* beside its ticks, at *now* (unix seconds). Raises `DecodeError`."""
    return _job(entry, new_id(), now, None)


def _job(entry: Entry, job_id: str, moment: float, eta: float | None) -> Job:
    read = envelope.decode(entry.envelope, len(entry.envelope))
    stamped = msgspec.structs.replace(
        read,
        created=moment,
        eta=eta,
        expires=read.expires if entry.expires is None else moment + entry.expires,
        headers={**(read.headers or {}), NAME_HEADER: entry.name, TICK_HEADER: moment},
    )
    return Job(job_id, entry.queue, envelope.pack(stamped), entry.priority, eta=eta)


def _jitter(entry: Entry, tick: int) -> float:
    """Seconds to spread this tick's start by: the same whoever computes it."""
    chance = zlib.crc32(f"{entry.name}\n{tick}".encode()) / 2**32
    return entry.jitter * chance
