"""What the verbs of single jobs do, as generators of script calls. No I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.inspector import ALL_QUEUES, decoded, queues
from umbel.brokers.redis.operations import MAX_MOVED, Steps, deliveries, settle
from umbel.brokers.redis.packing import counts_of
from umbel.contracts.broker import SessionDead, Settlement
from umbel.contracts.jobs import MAX_TAKEN, Listed, Revoked
from umbel.engines.redis_command import Command, Word
from umbel.engines.redis_jobs import milliseconds
from umbel.model.job import FIRST, Delivery, Doom
from umbel.states import Place

T = TypeVar("T")

REVOKED: Final[Doom] = "revoked"
MAX_REVOKED: Final = 250
MAX_ANSWERED_BYTES: Final = 4 * 1024 * 1024


def revoke(calls: Calls, session: str, keys: Sequence[tuple[str, str | None]], lease: float) -> Steps[list[Revoked]]:
    """Doom the jobs of *keys*, 250 a step, in every queue if one is None; answers one by one."""
    everywhere = (yield from queues()) if any(queue is None for _, queue in keys) else []
    wanted: dict[str, dict[str, None]] = {}
    for job_id, queue in keys:
        for name in everywhere if queue is None else (queue,):
            wanted.setdefault(name, {})[job_id] = None
    found: dict[tuple[str, str | None], Revoked] = {}
    for queue, ids in wanted.items():
        for part in parts(list(ids), MAX_REVOKED):
            (reply,) = yield [revoking(calls, session, queue, part, lease)]
            if reply[0] == b"dead":
                raise SessionDead(session)
            for job_id, told in zip(part, reply[1:], strict=True):
                _note(found, queue, _revoked(job_id, queue, told))
    return [found.get(key) or Revoked(key[0], "unknown") for key in keys]


def revoking(calls: Calls, session: str, queue: str, ids: Sequence[str], lease: float) -> Command:
    """The call that dooms jobs of one queue."""
    return calls.make("revoke", queue, (session, milliseconds(lease), *ids))


def purge(calls: Calls, session: str, queue: str, limit: int, lease: float) -> Steps[list[Delivery]]:
    """Doom and lease up to *limit* jobs that wait in *queue*, about 4 MiB a step."""
    found: dict[str, Delivery] = {}
    while (want := min(limit, MAX_TAKEN) - len(found)) > 0:
        words = (session, milliseconds(lease), want, MAX_ANSWERED_BYTES, len(found))
        (reply,) = yield [calls.make("purge", queue, words)]
        if reply[0] == b"dead":
            raise SessionDead(session)
        more = {each.id: _doomed(each) for each in deliveries(reply, queue, 1)}
        if not more:
            break
        found.update(more)
    return list(found.values())


def end(calls: Calls, session: str, settlements: Sequence[Settlement], known: set[str]) -> Steps[list[bool]]:
    """Settle, then close *session* wherever it was opened; follow-ups for queues not in *known* register them."""
    follow_ups = {job.queue for item in settlements for job in item.follow_ups}
    answers = yield from settle(calls, session, settlements, follow_ups - known)
    known |= follow_ups
    here = sorted({item.delivery.queue for item in settlements})
    names, *closed = yield [ALL_QUEUES, *_closing(calls, session, here)]
    done = {queue for queue, moved in zip(here, closed, strict=True) if moved < MAX_MOVED}
    open_in = [queue for queue in decoded(names) if queue not in done]
    while open_in:
        closed = yield _closing(calls, session, open_in)
        open_in = [queue for queue, moved in zip(open_in, closed, strict=True) if moved == MAX_MOVED]
    return answers


def _closing(calls: Calls, session: str, queues: Sequence[str]) -> list[Command]:
    return [calls.make("close", queue, (session, MAX_MOVED, 0)) for queue in queues]


def jobs(calls: Calls, queue: str, place: Place, after: str, limit: int) -> Steps[list[Listed]]:
    """A page of the jobs of one place, about 4 MiB a step."""
    if place not in ("ready", "delayed", "held", "running", "parked", "dead"):
        raise ValueError(f"no list is kept of jobs that are {place}")
    found: list[Listed] = []
    while (left := limit - len(found)) > 0:
        (reply,) = yield [calls.make("jobs", queue, (place, after, left, MAX_ANSWERED_BYTES))]
        if not reply:
            break
        found += [_listed(queue, place, row) for row in reply]
        after = found[-1].cursor
    return found


def each(calls: Calls, verb: str, queue: str, ids: Sequence[str]) -> Steps[list[bool]]:
    """Carry out *verb*, revive or discard, on each of *ids*; answers which were dead letters."""
    commands = [calls.make(verb, queue, part) for part in parts(ids, MAX_TAKEN)]
    replies = (yield commands) if commands else []
    return [answer == 1 for reply in replies for answer in reply]


def pause(calls: Calls, queue: str, *, paused: bool) -> Steps[None]:
    """Pause or resume *queue*; its name is known from then on."""
    yield [calls.register([queue]), calls.make("pause", queue, (int(paused),))]


def paused(calls: Calls, names: Sequence[str]) -> Steps[list[bool]]:
    """Which queues are paused."""
    replies = (yield [Command((b"EXISTS", calls.place(name) + b"paused")) for name in names]) if names else []
    return [reply == 1 for reply in replies]


def note(
    calls: Calls, session: str, notes: Sequence[tuple[Delivery, bytes]], script: str = "note"
) -> Steps[list[bool]]:
    """Keep notes with their jobs, or, with the *script* "amend", other envelopes; answers which are the session's."""
    places: dict[str, list[int]] = {}
    for place, (delivery, _) in enumerate(notes):
        places.setdefault(delivery.queue, []).append(place)
    batches = [(queue, mine) for queue, ours in places.items() for mine in parts(ours, MAX_TAKEN)]
    commands = [calls.make(script, queue, (session, *_notes(notes, mine))) for queue, mine in batches]
    replies = (yield commands) if commands else []
    answers = [False] * len(notes)
    for (_, mine), reply in zip(batches, replies, strict=True):
        for place, answer in zip(mine, reply, strict=True):
            answers[place] = answer == 1
    return answers


def parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """*items* in pieces of at most *size*."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _note(found: dict[tuple[str, str | None], Revoked], queue: str, told: Revoked) -> None:
    """Note what one queue told; of a job that is looked for everywhere, the queue that knows most counts."""
    found[told.id, queue] = told
    known = found.get((told.id, None))
    if known is None or _RANK.get(told.place, 2) > _RANK.get(known.place, 2):
        found[told.id, None] = told


_RANK: Final[dict[Place, int]] = {"unknown": 0, "ended": 1}


def _revoked(job_id: str, queue: str, told: list[Any]) -> Revoked:
    place: Place = told[0].decode()
    if len(told) == 1:
        return Revoked(job_id, place, queue if place != "unknown" else "")
    (delivery,) = deliveries([b"ok", -1, job_id.encode(), *told[1:]], queue, 1)
    return Revoked(job_id, place, queue, _doomed(delivery))


def _doomed(delivery: Delivery) -> Delivery:
    """*delivery* as it is now: it was doomed after its counts were read."""
    counts = delivery.counts
    return msgspec.structs.replace(delivery, counts=msgspec.structs.replace(counts, doom=counts.doom or REVOKED))


def _listed(queue: str, place: Place, row: list[Any]) -> Listed:
    job_id, level, envelope, cursor, counts, at, session, task, note = row
    return Listed(
        job_id.decode(),
        queue,
        place,
        level,
        envelope,
        cursor.decode(),
        FIRST if counts is None else counts_of(counts),
        None if at is None else int(at) / 1000,
        session.decode(),
        note or b"",
        task.decode(),
    )


def _notes(notes: Sequence[tuple[Delivery, bytes]], places: Sequence[int]) -> list[Word]:
    words: list[Word] = []
    for delivery, text in (notes[place] for place in places):
        words += (delivery.id, f"{delivery.level}:{delivery.number}", text)
    return words
