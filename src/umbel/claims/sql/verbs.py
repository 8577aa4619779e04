"""What the verbs do, each in one transaction on a connection; times are milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from umbel.claims.sql import opening
from umbel.contracts.broker import Beat, Ended, SessionDead
from umbel.contracts.claims import Answer, Pointer, Verdict
from umbel.contracts.jobs import Revoked
from umbel.contracts.powers import Location
from umbel.engines import sql_claims as tables
from umbel.engines import sql_flows, sql_outbox, sql_rows, sql_swift, sql_table
from umbel.engines.sql import Connection
from umbel.engines.sql_claims import Row
from umbel.model.job import Counts, Delivery, Doom
from umbel.states import Place

DAY: Final = 86_400_000
WEEK: Final = 7 * DAY
MONTH: Final = 30 * DAY
MAX_FORGOTTEN: Final = 2_000
"""About how many rows of flows that are over are deleted in one step."""
SOMEWHERE: Final = "ready"
"""What is assumed of a job that nobody has received yet: RabbitMQ cannot be asked for one message."""


class Claimed(NamedTuple):
    """What a claim answers, and whether jobs wait in the outbox of its queue that nobody sends on."""

    answers: list[Answer] | None
    is_waiting: bool = False


class Settled(NamedTuple):
    """Which verdicts were carried out, and the homes in whose outbox jobs lie now."""

    ours: list[bool]
    waiting: list[str]


_FIRST: Final = Answer("ours")
_OVER: Final = Answer("over")
Charge = Callable[[dict[str, Any]], tuple[int, int]]


def heartbeat(
    connection: Connection, now: int, queue: str, beats: Sequence[Beat], lease: int, *, opening: bool
) -> list[bool]:
    """Renew or open in one queue."""
    tables.seen(connection, queue, now, lease)
    found: dict[str, bool] = {}
    for beat in sorted(beats, key=lambda each: each.session):
        if opening:
            row = {"queue": queue, "session": beat.session, "deadline": now + lease, "number": 0, "info": beat.info}
            found[beat.session] = sql_rows.add(connection, tables.SESSIONS, [row]) == 1
        else:
            found[beat.session] = tables.renew(connection, queue, beat.session, now + lease, beat.info)
    return [found[beat.session] for beat in beats]


class Claim(NamedTuple):
    """A receive of *session*, its *number*, in a queue. *begun*: the number was noted in an earlier step of it."""

    session: str
    number: int
    queue: str
    begun: bool = False


def claim(connection: Connection, now: int, asked: Claim, pointers: Sequence[Pointer]) -> Claimed:
    """Lease the jobs of *pointers*."""
    session, number, queue, begun = asked
    noted = tables.number(connection, queue, session, number - (not begun), number)
    if noted is None:
        raise SessionDead(session)
    if not noted:
        return Claimed(None)
    signs = sql_outbox.signs(connection, queue, now)
    if pointers and "paused" in signs and not begun:
        return Claimed([Answer("paused")] * len(pointers))
    answers = _leased(connection, now, asked, pointers) if pointers else []
    return Claimed(answers, is_waiting="waiting" in signs)


def claim_new(
    connection: Connection, now: int | None, asked: Claim, pointers: Sequence[Pointer]
) -> tuple[Claimed, Claim, list[int]]:
    """Lease those of *pointers* of which nothing is known yet, in one round trip.

    Answers how to go on, and the places of the others: all, if the session may not receive; `claim` finds out why.
    """
    ids, copies = [pointer.id for pointer in pointers], [pointer.copy for pointer in pointers]
    found = sql_swift.lease(connection, sql_swift.Lease(asked.session, asked.number, asked.queue, ids, copies, now))
    if found.paused and found.open:
        return Claimed([Answer("paused")] * len(pointers)), asked, []
    answers = [_OVER if pointer.id in found.over else _FIRST for pointer in pointers]
    others = [place for place, pointer in enumerate(pointers) if pointer.id not in found.fresh]
    return Claimed(answers, found.waiting), asked._replace(begun=found.open), others


def settle(connection: Connection, now: int, session: str, verdicts: Sequence[Verdict]) -> Settled:
    """Carry out *verdicts*, and the joins of those that are ours."""
    answers = [False] * len(verdicts)
    for queue in sorted(tables.hold_open(connection, session, {verdict.delivery.queue for verdict in verdicts})):
        mine = [(place, each) for place, each in enumerate(verdicts) if each.delivery.queue == queue]
        jobs = _settling(connection, queue, [each for _, each in mine])
        done: list[tuple[Row, Verdict]] = []
        for place, verdict in mine:
            job = jobs.get(verdict.delivery.id)
            if job is not None and (job["session"], job["number"]) == (session, verdict.delivery.number):
                answers[place] = True
                job["session"] = None
                done.append((job, verdict))
        _carry(connection, now, queue, done)
    ours = [each for each, our in zip(verdicts, answers, strict=True) if our and (each.joins or each.added)]
    return Settled(answers, opening.join(connection, now, ours) if ours else [])


def settle_ends(connection: Connection, now: int | None, session: str, verdicts: Sequence[Verdict]) -> list[int]:
    """Carry out *verdicts*, plain ends, in one round trip; answers the places of those to be looked at anew."""
    places: dict[str, list[int]] = {}
    for place, verdict in enumerate(verdicts):
        places.setdefault(verdict.delivery.queue, []).append(place)
    queues = sorted(places)
    ended = [(queue, [_end(verdicts[place]) for place in places[queue]]) for queue in queues]
    found = sql_swift.end(connection, session, ended, now)
    return sorted(
        place
        for queue, done in zip(queues, found, strict=True)
        for nth, place in enumerate(places[queue])
        if nth not in done
    )


def are_plain_ends(verdicts: Sequence[Verdict]) -> bool:
    """Whether all that *verdicts* say is that jobs have ended, and how, each but once."""
    for verdict in verdicts:
        if verdict.kind != "end" or verdict.joins or verdict.added or verdict.parcel:
            return False
    return len({(verdict.delivery.queue, verdict.delivery.id) for verdict in verdicts}) == len(verdicts)


def reconcile(
    connection: Connection, now: int, session: str, number: int, queue: str, held: Sequence[Delivery]
) -> list[str] | None:
    """Give up what *session* has in *queue* beyond *held*; None if it is dead there."""
    noted = tables.number(connection, queue, session, number, number)
    if not noted:
        return None if noted is None else []
    known = {(delivery.id, delivery.number) for delivery in held if delivery.queue == queue}
    every = [
        job for job in tables.held(connection, queue, session, 1_000_000) if (job["id"], job["number"]) not in known
    ]
    _give_back(connection, now, every, lambda _: (0, 0))
    return [job["id"] for job in every]


def mark(connection: Connection, session: str, delivery: Delivery) -> bool:
    """Mark *delivery* as about to start."""
    queue = delivery.queue
    return bool(tables.hold_open(connection, session, [queue])) and tables.mark(
        connection, queue, delivery.id, session, delivery.number
    )


def keep(connection: Connection, session: str, given: Sequence[tuple[Delivery, bytes]], column: str) -> list[bool]:
    """Keep what is *given* in a *column* of the jobs; of a delivery that is named twice the last one."""
    here = tables.hold_open(connection, session, {delivery.queue for delivery, _ in given})
    answers = [False] * len(given)
    for place in sorted(range(len(given)), key=lambda each: (given[each][0].queue, given[each][0].id)):
        delivery, value = given[place]
        if delivery.queue in here:
            ours = {"queue": delivery.queue, "id": delivery.id, "session": session, "number": delivery.number}
            answers[place] = tables.keep(connection, ours, **{column: value})
    return answers


def close(connection: Connection, now: int, queue: str, ended: Ended, lease: int, most: int) -> int:
    """Declare *ended* dead and free what it has, at most *most*; answers how many."""
    if not tables.close(connection, queue, ended.session, now + lease):
        return 0
    started, doomed = set(ended.started), dict(ended.doomed)

    def charge(job: dict[str, Any]) -> tuple[int, int]:
        doom = doomed.get(job["id"], "")
        job["doom"] = job["doom"] or doom
        return int(not doom and job["id"] in started), 0

    return _empty(connection, now, queue, ended.session, most, charge)


def reclaim(connection: Connection, now: int, queue: str, lease: int, most: int) -> tuple[int, int | None]:
    """Free what lapsed sessions have, at most *most*; answers how many, and when the next lease ends."""
    hold = tables.seen(connection, queue, now, lease)
    freed = 0
    for session in tables.lapse(connection, queue, now, lease, suspended=now < hold):
        if freed < most:
            # Nobody knows what it had started: a loss, or a crash of what was about to run alone.
            freed += _empty(
                connection, now, queue, session, most - freed, lambda job: (1, 0) if job["marked"] else (0, 1)
            )
    tables.tidy(connection, queue, now, most)
    sql_flows.forget(connection, queue, now, MAX_FORGOTTEN)
    deadline = tables.next_deadline(connection, queue)
    if deadline is None:
        return freed, None
    return freed, max(0, max(deadline, hold) - now) if deadline > 0 else 0


def locate(connection: Connection, now: int, job_id: str, queue: str | None) -> Location:
    """Where *job_id* is."""
    recorded = bool(sql_table.read(connection, [job_id], now))
    doom: Doom = ""
    for name in [queue] if queue is not None else tables.queues(connection):
        job = tables.look(connection, name, job_id)
        if (
            job is not None
            and (job["session"] is not None or job["place"])
            and (not recorded or job["place"] == "dead")
        ):
            place: Place = "running" if job["session"] is not None else job["place"]
            doomed: Doom = "" if place == "dead" else job["doom"]
            return Location(place, name, job["retries"], doomed, bytes(job["note"] or b""))
        doom = doom or ("" if job is None else job["doom"])
    return Location("ended", queue or "") if recorded else Location(SOMEWHERE, queue or "", doom=doom, guessed=True)


def doom(connection: Connection, now: int, job_id: str, names: Sequence[str]) -> Revoked:
    """Doom *job_id* in that of the queues *names* where it is known, or else in all of them."""
    rows = [{**tables.NEW_JOB, "queue": name, "id": job_id, "expires": now + MONTH} for name in names]
    if rows:
        sql_rows.add(connection, tables.JOBS, rows)
    jobs = {name: job for name in names for job in tables.jobs(connection, name, [job_id]).values()}
    recorded = bool(sql_table.read(connection, [job_id], now))
    for name, job in jobs.items():
        known = bool(job["session"] is not None or job["place"])
        place: Place = "running" if job["session"] is not None else job["place"]
        if place == "dead" or (known and recorded):
            return Revoked(job_id, "dead" if place == "dead" else "ended", name)
        if known:
            _doom(connection, [job], now)
            return Revoked(job_id, place, name)
    if recorded:
        return Revoked(job_id, "ended", names[0] if len(names) == 1 else "")
    _doom(connection, jobs.values(), now)
    return Revoked(job_id, "unknown")


def _leased(connection: Connection, now: int, asked: Claim, pointers: Sequence[Pointer]) -> list[Answer]:
    """Lease the jobs of *pointers*: those of which nothing is known yet as they are noted."""
    session, number, queue, _ = asked
    copies = {pointer.id: pointer.copy for pointer in pointers}
    ids = sorted(copies)
    new = {**tables.NEW_JOB, "session": session, "number": number, "expires": now + MONTH}
    rows = [{**new, "queue": queue, "id": each, "copies": copies[each]} for each in ids]
    known = sql_rows.add(connection, tables.JOBS, rows) < len(rows)
    ended = sql_table.read(connection, ids, now)
    if not known and not ended:
        return [_FIRST] * len(pointers)
    jobs = tables.jobs(connection, queue, ids)
    others = {row["session"] for row in jobs.values()} - {None, session}
    deadlines = {name: left for name, _, left in tables.open_sessions(connection, queue)} if others else {}
    changed: dict[str, Row] = {}
    answers: list[Answer] = []
    for pointer in pointers:
        job = jobs[pointer.id]
        if pointer.id in ended or job["generation"] > pointer.generation or job["place"] in ("ended", "dead"):
            answers.append(Answer("over", parcel=bytes(job["parcel"] or b"")))
            if (job["session"], job["number"]) == (session, number):
                job["session"] = None  # it was noted just now
                changed[pointer.id] = job
            continue
        changed[pointer.id] = job
        job["copies"] = job["copies"] or pointer.copy
        if job["session"] not in (None, session):
            job["copies"] = True  # two messages: the mark of its end is kept for longer
            answers.append(Answer("held", seconds=max(0, deadlines.get(job["session"], 0) - now) / 1000))
            continue
        answers.append(_ours(job))
        job.update(session=session, number=number, place="ready" if job["place"] else "")
    tables.change(connection, list(changed.values()))
    return answers


def _ours(job: Row) -> Answer:
    amended = bytes(job["envelope"] or b"")
    if not job["place"] and not job["doom"]:
        return Answer("ours", envelope=amended)
    counts = Counts(job["retries"], job["crashes"], job["losses"], bool(job["marked"]), job["doom"])
    return Answer("ours", counts, returned=bool(job["place"]), envelope=amended)


def _settling(connection: Connection, queue: str, verdicts: Sequence[Verdict]) -> dict[str, dict[str, Any]]:
    """The rows of the jobs of *verdicts*, locked; of those that are only deleted no more than is needed."""
    ids = {each.delivery.id for each in verdicts}
    if are_plain_ends(verdicts):
        ending = tables.ending(connection, queue, ids)
        if not any(job["parcel"] for job in ending.values()):
            return ending
    return tables.jobs(connection, queue, ids)


def _end(verdict: Verdict) -> sql_swift.End:
    delivery = verdict.delivery
    return sql_swift.End(delivery.id, delivery.number, verdict.record, _ttl(verdict))


def _ttl(verdict: Verdict) -> int:
    return max(1, int(verdict.ttl * 1000))


def _doom(connection: Connection, jobs: Iterable[dict[str, Any]], now: int) -> None:
    changed = [{**job, "doom": job["doom"] or "revoked", "expires": max(job["expires"], now + MONTH)} for job in jobs]
    tables.change(connection, changed)


def _carry(connection: Connection, now: int, queue: str, done: Sequence[tuple[Any, Verdict]]) -> None:
    records: list[Row] = []
    dropped: list[str] = []
    for job, verdict in sorted(done, key=lambda pair: str(pair[0]["id"])):
        job["parcel"] = verdict.parcel or job["parcel"]
        job["marked"] = False
        if verdict.kind in ("end", "dead"):
            ttl = _ttl(verdict)
            expires = now + (max(ttl, DAY) if job["copies"] else ttl)  # another message may come late
            records.append({"id": job["id"], "expires": expires, "owner": "", "value": verdict.record})
            job.update(
                place="ended" if verdict.kind == "end" else "dead", expires=now + MONTH, note=None, envelope=None
            )
            if verdict.kind == "end" and not job["parcel"]:
                dropped.append(job["id"])
            continue
        _again(job, verdict, now)
        if verdict.kind == "park":
            tables.park(connection, queue, verdict.task)
    if records:
        sql_table.put(connection, records, now)
    tables.change(connection, [job for job, _ in done if job["id"] not in dropped])
    tables.drop(connection, queue, dropped)


def _again(job: Any, verdict: Verdict, now: int) -> None:
    """The job goes on."""
    delay = int(verdict.delay * 1000) if verdict.kind == "retry" else 0
    job.update(
        place="delayed" if delay > 0 else "parked" if verdict.kind == "park" else "ready", expires=now + MONTH + delay
    )
    if verdict.kind != "release":
        counts = verdict.counts
        job.update(generation=verdict.generation, retries=counts.retries, crashes=counts.crashes, losses=counts.losses)
        job["envelope"] = None  # the message that is published has it


def _empty(connection: Connection, now: int, queue: str, session: str, most: int, charge: Charge) -> int:
    held = tables.held(connection, queue, session, most)
    _give_back(connection, now, held, charge)
    if len(held) < most:
        tables.emptied(connection, queue, session, now)
    return len(held)


def _give_back(connection: Connection, now: int, held: Sequence[dict[str, Any]], charge: Charge) -> None:
    for job in held:
        crashes, losses = charge(job)
        job.update(
            session=None, place="ready", marked=False, expires=now + MONTH,
            crashes=job["crashes"] + crashes, losses=job["losses"] + losses,
        )  # fmt: skip
    tables.change(connection, held)
