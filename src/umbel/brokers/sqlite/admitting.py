"""What is sent and what starts under limits, as steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from umbel.brokers.sqlite import operations
from umbel.brokers.sqlite.gates import LIMITS, Gates
from umbel.brokers.sqlite.operations import LIMITED, READY
from umbel.contracts.limits import Admission, Entry
from umbel.engines.sqlite_file import Connection
from umbel.engines.sqlite_lease import Clock
from umbel.model.job import Job
from umbel.model.limit import Limit, Unique


class Admitted(NamedTuple):
    """The ids that stand, and how many waiters to wake in which queue; *full* says why nothing was accepted."""

    standing: list[str]
    rung: Counter[str]
    full: str = ""


def admit(connection: Connection, clock: Clock, admissions: Sequence[Admission]) -> Admitted:
    """Accept the jobs of *admissions*, those of each queue all or none; holds what may not start yet."""
    now = clock.wall()
    standing, new, left = _choose(connection, now, admissions)
    full = _measure(connection, new)
    if full:
        return Admitted([], Counter(), full)
    for each in new:
        if each.unique is not None:
            _keep(connection, now, each.job.queue, each.unique, (each.job.id, 0))
    gates = Gates(connection, now)
    for job in left:
        gates.forget("forget", job.queue, job.id)
    limited = [(each.job, each.limit) for each in new if each.limit is not None and _due(each.job, now) <= now]
    _hold(connection, gates, limited)
    free = [each.job for each in new if each.limit is None or _due(each.job, now) > now]
    rung = operations.send(connection, clock, free) + gates.finish()
    return Admitted(standing, rung)


def _choose(
    connection: Connection, now: int, admissions: Sequence[Admission]
) -> tuple[list[str], list[Admission], list[Job]]:
    """The id that stands for each of *admissions*; those that are new, with free keys; and those with a place.

    That is the place of a namesake that ended just now.
    """
    standing: list[str] = []
    new: dict[str, Admission] = {}
    left: list[Job] = []
    taken: dict[tuple[str, str], str] = {}
    for each in admissions:
        job, unique, holder = each.job, each.unique, each.job.id
        [(is_known, has_place)] = connection.execute(LIMITS["known"], (job.id, now, job.queue)).fetchall()
        if job.id not in new and not is_known:
            if unique is not None:
                name = (job.queue, unique.key)
                holder = taken.get(name) or _keeper_of(connection, now, name) or job.id
                taken[name] = holder
            if holder == job.id:
                new[job.id] = each
                left += [job] if has_place else []
        standing.append(holder)
    return standing, list(new.values()), left


def _keeper_of(connection: Connection, now: int, name: tuple[str, str]) -> str | None:
    row = connection.execute(LIMITS["keeper"], (*name, now)).fetchone()
    return None if row is None else row[0]


def _measure(connection: Connection, new: Sequence[Admission]) -> str:
    """Why the *new* jobs do not fit into their queues; empty if they do."""
    lengths: dict[str, int] = {}
    for each in new:
        if each.max_length:
            lengths[each.job.queue] = min(each.max_length, lengths.get(each.job.queue, each.max_length))
    for queue, length in lengths.items():
        [(there,)] = connection.execute(LIMITS["length"], (queue, length)).fetchall()
        if there + sum(each.job.queue == queue for each in new) > length:
            return f"queue {queue!r} has {there} jobs, and may have {length}"
    return ""


def _due(job: Job, now: int) -> int:
    return now + round(job.delay * 1000) if job.eta is None else round(job.eta * 1000)


def _hold(connection: Connection, gates: Gates, jobs: Sequence[tuple[Job, Limit]]) -> None:
    position, rows = time.time_ns(), list[tuple[object, ...]]()
    for index, (job, limit) in enumerate(jobs):
        gate = gates.of(job.queue, limit)
        turn = gates.hold(gate, limit.turn)
        rows.append((job.id, job.queue, job.level, position + index, job.envelope, gate.key, turn))
    connection.executemany(LIMITS["insert"], rows)


# --- starting


def enter(
    connection: Connection, clock: Clock, session: str, entries: Sequence[Entry]
) -> tuple[list[str], Counter[str]]:
    """Answer for each of *entries* whether it may start; and how many waiters to wake in which queue."""
    now = clock.wall()
    gates = Gates(connection, now)
    alive = {queue: place.key for queue, place in operations.places(connection, session).items()}
    rung: Counter[str] = Counter()
    answers: list[str] = []
    for each in entries:
        delivery = each.delivery
        fence = (alive.get(delivery.queue), delivery.number)
        row = connection.execute(LIMITS["job"], (delivery.id, delivery.queue, *fence)).fetchone()
        if row is None or not row[0]:
            answers.append("held" if row is not None and row[-1] == LIMITED else "lost")
            continue
        answers.append(_enter(connection, now, gates, each, row[1:4]))
        rung[delivery.queue] += answers[-1] == "held" and bool(row[3])
    return answers, rung + gates.finish()


def _enter(connection: Connection, now: int, gates: Gates, entry: Entry, row: Any) -> str:
    delivery, limit, unique = entry.delivery, entry.limit, entry.unique
    if delivery.counts.doom:
        return "run"
    keeper = None
    if unique is not None:
        keeper = connection.execute(LIMITS["keeper"], (delivery.queue, unique.key, now)).fetchone()
        if keeper is not None and _keeps_out(unique, delivery.id, keeper):
            return f"taken:{keeper[0]}"
    seq, retries, doom = row
    if limit is not None and not gates.enter(delivery.queue, delivery.id, retries, limit):
        gate = gates.of(delivery.queue, limit)
        turn = None if doom else gates.hold(gate, limit.turn)
        state = READY if doom else LIMITED
        connection.execute(LIMITS["hold"], (seq, state, time.time_ns(), gate.key, turn))
        return "held"
    if unique is not None:
        _start(connection, now, delivery.queue, unique, (delivery.id, keeper))
    return "run"


def _keeps_out(unique: Unique, job_id: str, keeper: tuple[str, float | None, int]) -> bool:
    if keeper[0] == job_id:
        return False
    return bool(keeper[2]) if unique.seconds else unique.scope == "done"


def _start(
    connection: Connection, now: int, queue: str, unique: Unique, who: tuple[str, tuple[str, float | None, int] | None]
) -> None:
    """Give the key to a job that runs from now on; with the scope "queued" take it away."""
    job_id, keeper = who
    if not unique.seconds and unique.scope == "queued":
        connection.execute(LIMITS["free"], (queue, unique.key, job_id))
    elif keeper is not None and keeper[0] == job_id and keeper[1] is not None:
        connection.execute(LIMITS["keep"], (queue, unique.key, job_id, keeper[1], 1))
    else:
        _keep(connection, now, queue, unique, (job_id, 1))


def _keep(connection: Connection, now: int, queue: str, unique: Unique, who: tuple[str, int]) -> None:
    until = now + unique.seconds * 1000 if unique.seconds else None
    job_id, started = who
    connection.execute(LIMITS["keep"], (queue, unique.key, job_id, until, started))
