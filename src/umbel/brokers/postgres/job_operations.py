"""What the verbs of single jobs do, as generators of transactions: who waits for whom, cursors, answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from umbel.brokers.postgres import packing
from umbel.brokers.postgres.floors import NOTHING
from umbel.brokers.postgres.operations import Settled, Steps, Verbs
from umbel.brokers.postgres.packing import keys
from umbel.contracts.broker import SessionDead, Settlement
from umbel.contracts.jobs import MAX_TAKEN, WAITING, Listed, Revoked
from umbel.engines.postgres_command import Rows, Statements
from umbel.engines.postgres_values import Blobs, key, texts
from umbel.model.job import Counts, Delivery
from umbel.states import Place

SQL: Final = Statements("umbel.brokers.postgres.queries", "jobs")
STATES: Final[tuple[Place, ...]] = ("ready", "running", "dead", "parked", "held", "delayed")
"""Where a job is, by what the statements answer as its state."""
_FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
_EARLIEST: Final = str(NOTHING[0])
_STARTS: Final[dict[Place, str]] = {
    "ready": f"-1 {_EARLIEST} 0",
    "delayed": f"{_EARLIEST} 0",
    "held": f"{_FIRST_ID} {_FIRST_ID} -1 0",
    "running": f"{_EARLIEST} 0",
    "parked": f"{_EARLIEST} 0 ",
    "dead": f"{_EARLIEST} {_FIRST_ID}",
}
"""The cursor in front of everything, for each place of which a list is kept; its parts are those of all others."""


class Found(msgspec.Struct, frozen=True, gc=False):
    """What became of a job that is revoked: where it was, and its delivery if it is ours now."""

    place: Place
    queue: str = ""
    delivery: Delivery | None = None


def revoke(
    session: str, wanted: Sequence[tuple[str, str | None]], lease: float, now: str | None
) -> Steps[list[Revoked]]:
    """Doom the jobs of *wanted*, lease those that wait.

    Those that somebody is changing at the moment are passed over at first. Then they are waited for one by one, so that
    nobody waits for us meanwhile: whoever settles takes his jobs in an order of his own.
    """
    asked = {key(job_id): queue or "" for job_id, queue in wanted}
    found: dict[str, Found] = yield from _leased(session, asked, lease, now)
    if missing := {each: queue for each, queue in asked.items() if each not in found}:
        found |= yield from _awaited(session, missing, lease, now)
    answers: list[Revoked] = []
    for job_id, queue in wanted:
        one = found[key(job_id)]
        answers.append(Revoked(job_id, one.place, one.queue or _named(one, queue), one.delivery))
    return answers


def purge(session: str, queue: str, limit: int, lease: float, now: str | None) -> Steps[list[Delivery]]:
    """Doom and lease up to *limit* jobs that wait in *queue*."""
    most = str(min(limit, MAX_TAKEN))
    (rows,) = yield [SQL("jobs.purge", session, queue, most, str(lease), now)]
    if rows and rows[0][0] is None:
        raise SessionDead(session)
    return [packing.delivery(row, 1) for row in rows]


def end(verbs: Verbs, session: str, settlements: Sequence[Settlement]) -> Steps[Settled]:
    """Settle, and close *session*; what it still holds is to be rung for."""
    new = {job.queue for each in settlements for job in each.follow_ups}
    settled = yield from verbs.settle(session, settlements, new)
    _, returned = yield [SQL("jobs.close", session), SQL("jobs.back", session)]
    settled.rung.update(queue for (queue,) in returned)
    return settled


def listed(queue: str, place: Place, after: str, limit: int, now: str | None) -> Steps[list[Listed]]:
    """A page of the jobs of *place*. Raises `ValueError` for a place or cursor of which there is no list."""
    start = _STARTS.get(place)
    if start is None:
        raise ValueError(f"no list is kept of jobs that are {place}")
    size = start.count(" ")
    parts = (after or start).split(" ", size)
    if len(parts) != size + 1:
        raise ValueError(f"{after!r} is no cursor of jobs that are {place}")
    clock = (now,) if place in ("ready", "delayed") else ()
    (rows,) = yield [SQL(f"jobs.{place}", queue, str(limit), *clock, *parts)]
    return [_listed(queue, place, row) for row in rows]


def revive(queue: str, ids: Sequence[str], now: str | None) -> Steps[list[bool]]:
    """Make dead letters ready; answers which of *ids* were some."""
    (rows,) = yield [SQL("jobs.revive", queue, keys(ids), now)]
    return _among(ids, rows)


def discard(queue: str, ids: Sequence[str]) -> Steps[list[bool]]:
    """Delete dead letters; answers which of *ids* were some."""
    (rows,) = yield [SQL("jobs.discard", queue, keys(ids))]
    return _among(ids, rows)


def pause(queue: str, *, paused: bool) -> Steps[None]:
    """Pause *queue*, or go on with it."""
    yield [SQL("jobs.pause" if paused else "jobs.resume", queue)]


def paused(queues: Sequence[str]) -> Steps[list[bool]]:
    """Which of *queues* are paused."""
    (rows,) = yield [SQL("jobs.paused", texts(queues))]
    found = {queue for (queue,) in rows}
    return [queue in found for queue in queues]


def note(session: str, notes: Sequence[tuple[Delivery, bytes]], statement: str = "jobs.note") -> Steps[list[bool]]:
    """Keep notes, or other envelopes with the *statement* "jobs.amend"; the last one of a delivery named twice."""
    last = {(delivery.id, delivery.number): (delivery, text) for delivery, text in notes}
    fences = packing.fences(delivery for delivery, _ in last.values())
    (rows,) = yield [SQL(statement, session, *fences, Blobs(text for _, text in last.values()))]
    places = {place for (place,) in rows}
    ours = {fence for place, fence in enumerate(last, 1) if place in places}
    return [(delivery.id, delivery.number) in ours for delivery, _ in notes]


def _leased(session: str, asked: dict[str, str], lease: float, now: str | None) -> Steps[dict[str, Found]]:
    """What is found of *asked*, id and queue, and is not being changed."""
    wanted = keys(asked), texts(asked.values())
    (rows,) = yield [SQL("jobs.lease", session, *wanted, str(lease), now)]
    return _found(session, rows)


def _awaited(session: str, missing: dict[str, str], lease: float, now: str | None) -> Steps[dict[str, Found]]:
    """What becomes of *missing*, which were being changed when we looked, or are over, or were never there."""
    found: dict[str, Found] = {}
    (rows,) = yield [SQL("jobs.look", keys(missing), texts(missing.values()), now)]
    for identity, there, _ in rows:
        if there:
            one = f"{{{identity}}}", texts([missing[identity]])
            _, leased = yield [SQL("jobs.wait", identity), SQL("jobs.lease", session, *one, str(lease), now)]
            found |= _found(session, leased)
    if left := {each: queue for each, queue in missing.items() if each not in found}:
        (rows,) = yield [SQL("jobs.look", keys(left), texts(left.values()), now)]
        found |= {identity: Found("ended" if over else "unknown") for identity, _, over in rows}
    return found


def _found(session: str, rows: Rows) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for identity, state, queue, *leased in rows:
        place = found[identity].place if state is None else _place(state)
        # Of one that is running and leased to us a first try has got hold, whose answer was lost.
        found[identity] = Found(place, queue, packing.delivery(tuple(leased), 1) if state is None else None)
    if any(one.delivery is None and one.place in WAITING for one in found.values()):
        raise SessionDead(session)
    return found


def _place(state: int) -> Place:
    return STATES[state]


def _named(found: Found, queue: str | None) -> str:
    return (queue or "") if found.place == "ended" else ""


def _listed(queue: str, place: Place, row: tuple[Any, ...]) -> Listed:
    name, level, envelope, cursor, retries, crashes, losses, marked, doom, noted, at, session, task = row
    counts = Counts(retries, crashes, losses, marked, doom)
    return Listed(name, queue, place, level, envelope, cursor, counts, at=at, session=session, note=noted, task=task)


def _among(ids: Sequence[str], rows: Sequence[tuple[str]]) -> list[bool]:
    left = {identity for (identity,) in rows}
    answers: list[bool] = []
    for job_id in map(key, ids):  # one that is named twice is no dead letter any more
        answers.append(job_id in left)
        left.discard(job_id)
    return answers
