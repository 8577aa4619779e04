"""What the verbs of limits do, as generators of transactions: which locks in which order, answers. No I/O here."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from umbel.brokers.postgres import limit_packing, packing
from umbel.brokers.postgres.limit_packing import NONE
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.operation import Operation
from umbel.engines.postgres_command import Command, Query, Rows, Statements
from umbel.engines.postgres_values import plain, texts
from umbel.exceptions import QueueFull
from umbel.model.limit import Limit, Pace, Unique

Limits: TypeAlias = Sequence[tuple[str, Limit | None]]

SQL: Final = Statements("umbel.brokers.postgres.queries", "limits", "admit", "enter", "release", "send")
LENGTHS: Final = 0x756D6271
"""The class of the advisory locks of queues whose jobs are counted: "umbq" in ASCII."""
MOST_RELEASED: Final = "1000"
"""How many jobs of one limit are released in one step at most."""
MOST_TENDED: Final = 200
MOST_LOOKED_AT: Final = 1_000
"""How many places, limits or keys one reclaim looks at, at most; the next looks at others."""


class Admitted(msgspec.Struct, frozen=True):
    """Which ids stand, and how many to wake in which queue."""

    standing: list[str]
    rung: Counter[str]


class Entered(msgspec.Struct, frozen=True):
    """The answers, and how many to wake in which queue."""

    answers: list[str]
    rung: Counter[str]


class Tended(msgspec.Struct, frozen=True):
    """How many jobs were released, whom to wake, in how many seconds there is more to release (None: not by time)."""

    released: int
    rung: Counter[str]
    next_due: float | None = None


class Rounds:
    """How far those have come who look after places, limits and keys, some at a time. One per broker, not shared."""

    def __init__(self) -> None:
        self.job = self.counter = self.key = NONE


def admit(admissions: Sequence[Admission], now: str | None) -> Operation[Command, Admitted]:
    """Accept *admissions*, queue by queue; raises `QueueFull`."""
    admitted = Admitted([each.job.id for each in admissions], Counter())
    for places in limit_packing.parts(admissions):
        part = [admissions[place] for place in places]
        queue = part[0].job.queue
        locks = _locks_of(queue, part)
        releases = _releases([(queue, each.limit) for each in part], now)
        turns = plain(limit_packing.has_turn(each.limit) for each in part)
        replies = yield [*locks, SQL("admit.admit", *limit_packing.admitting(part), now, turns), *releases]
        rows, *released = replies[len(locks) :]
        for place, stands, count in rows:
            if place < 0:
                least = min(each.max_length for each in part if each.max_length)
                raise QueueFull(f"queue {queue!r} has {count} jobs, and may have {least}")
            if place:
                admitted.standing[places[place - 1]] = stands
            else:
                admitted.rung[queue] += count
        admitted.rung.update(_rung(*released))
    return Admitted(admitted.standing, +admitted.rung)


def enter(session: str, entries: Sequence[Entry], now: str | None) -> Operation[Command, Entered]:
    """Ask for *entries*, each delivery once."""
    limits = [(each.delivery.queue, each.limit) for each in entries]
    keyed = [(each.delivery.queue, each.unique, each.delivery.id) for each in entries]
    locks = _locks(limits, keyed)
    turning = packing.keys(each.delivery.id for each in entries if limit_packing.has_turn(each.limit))
    parts = list(limit_packing.apart(entries))
    asked = [_asks(session, entries[part], now) for part in parts]
    replies = yield [*locks, *asked, *_releases(limits, now, turning)]
    told, released = replies[len(locks) :][: len(asked)], replies[len(locks) + len(asked) :]
    answers, others = ["lost"] * len(entries), dict[str, None]()
    for part, rows in zip(parts, told, strict=True):
        for place, answer in rows:
            if place:
                answers[part.start + place - 1] = answer
            else:
                others[answer] = None
    if others:  # whose locks could not be taken in order before
        released.append((yield from _released(plain(others), MOST_RELEASED, now)))
    return Entered(answers, _rung(*released))


def leave(left: Sequence[tuple[str, Limit, str]], now: str | None) -> Operation[Command, Tended]:
    """Look after the jobs of *left*."""
    counters = plain({limit_packing.counter(queue, limit): None for queue, limit, _ in left})
    return (yield from _forgotten(counters, packing.keys(job_id for _, _, job_id in left), now))


def tend(queues: Sequence[str], now: str | None, most: int = MOST_TENDED) -> Operation[Command, Tended]:
    """Release what has fallen due in *queues*, about *most* jobs; answers when there is more."""
    names = texts(queues)
    released, rung = 0, Counter[str]()
    (due,) = yield [SQL("limits.due", names, str(most), now)]
    if due:
        counters = plain(row[0] for row in due)
        each = str(max(1, most // len(due)))
        rows = yield from _released(counters, each, now)
        released, rung = _count(rows), _rung(rows)
    (((next_due,),),) = yield [SQL("limits.outlook", names, now)]
    return Tended(released, rung, None if next_due is None else max(0.0, next_due))


def sweep(rounds: Rounds, now: str | None) -> Operation[Command, Tended]:
    """Give the places of jobs that are over to others: of some, the next call sees to the next ones."""
    (rows,) = yield [SQL("limits.over", str(MOST_LOOKED_AT), rounds.job, now)]
    rounds.job = rows[-1][0] if rows and rows[-1][3] else NONE
    over = [(job, counter) for job, counter, is_over, _ in rows if is_over]
    if not over:
        return Tended(0, Counter())
    counters = plain({counter: None for _, counter in over})
    return (yield from _forgotten(counters, plain(job for job, _ in over), now))


def clean(rounds: Rounds, now: str | None) -> Operation[Command, None]:
    """Remove some limits and keys that nobody needs."""
    number = str(MOST_LOOKED_AT)
    ((last,),), rows = yield [
        SQL("limits.idle", number, rounds.counter, now),
        SQL("limits.vacant", number, rounds.key, now),
    ]
    rounds.counter = last or NONE
    rounds.key = rows[-1][0] if rows and rows[-1][2] else NONE
    if vacant := [key for key, is_vacant, _ in rows if is_vacant]:
        yield [SQL("limits.relock_keys", plain(vacant)), SQL("limits.vacate", plain(vacant), now)]


def adjust(queue: str, task: str, pace: Pace | None, now: str | None) -> Operation[Command, Tended]:
    """Let the limits of *task* allow *pace*, and release what that makes room for."""
    if pace is None:
        changed = SQL("limits.unadjust", queue, task)
    else:
        numbers = str(pace.concurrency), str(pace.interval), str(pace.burst)
        changed = SQL("limits.adjust", queue, task, *numbers)
    yield [SQL("send.name_queues", texts([queue])), changed, SQL("limits.hasten", queue, task, now)]
    return (yield from tend([queue], now))


def adjusted(queues: Sequence[str]) -> Operation[Command, list[tuple[str, str]]]:
    """The tasks that are adjusted in *queues*, with their queues."""
    (rows,) = yield [SQL("limits.adjusted", texts(queues))]
    return [(queue, task) for queue, task in rows]


def limits(queue: str, after: str, limit: int) -> Operation[Command, list[tuple[str, Standing]]]:
    """A page of the limits of *queue*."""
    (rows,) = yield [SQL("limits.show", queue, str(limit), *limit_packing.position(after))]
    return [limit_packing.standing(row) for row in rows]


def _asks(session: str, part: Sequence[Entry], now: str | None) -> Query:
    turns = plain(limit_packing.has_turn(each.limit) for each in part)
    return SQL("enter.enter", session, *limit_packing.entering(part), now, turns)


def _locks_of(queue: str, part: Sequence[Admission]) -> list[Query]:
    command = [SQL("send.name_queues", texts([queue]))]
    if any(each.max_length for each in part):
        command.append(SQL("limits.lock_queue", str(LENGTHS), str(zlib.crc32(queue.encode()) - 2**31)))
    command += _locks([(queue, each.limit) for each in part], [(queue, each.unique, each.job.id) for each in part])
    return [*command, SQL("send.lock", packing.keys(each.job.id for each in part))]


def _locks(limits: Limits, keyed: Sequence[tuple[str, Unique | None, str]]) -> list[Query]:
    """Locks of limits, then of keys: everybody takes them in this order."""
    counters, keys = limit_packing.counters(limits), limit_packing.keys_held(keyed)
    return [
        SQL("limits.steer"),
        *([] if counters is None else [SQL("limits.lock", *counters)]),
        *([] if keys is None else [SQL("limits.lock_keys", *keys)]),
    ]


def _releases(limits: Limits, now: str | None, entered: str = "{}") -> list[Query]:
    counters = {limit_packing.counter(queue, limit): None for queue, limit in limits if limit is not None}
    return [SQL("release.release", plain(counters), MOST_RELEASED, now, entered)] if counters else []


def _released(counters: str, most: str, now: str | None) -> Operation[Command, Rows]:
    release = SQL("release.release", counters, most, now, "{}")
    replies = yield [SQL("limits.steer"), SQL("limits.relock", counters), release]
    rows: Rows = replies[-1]
    return rows


def _forgotten(counters: str, jobs: str, now: str | None) -> Operation[Command, Tended]:
    *_, rows = yield [
        SQL("limits.steer"),
        SQL("limits.relock", counters),
        SQL("release.forget", counters, jobs, now),
        SQL("release.release", counters, MOST_RELEASED, now, "{}"),
    ]
    return Tended(_count(rows), _rung(rows))


def _count(rows: Rows) -> int:
    return sum(job is not None for job, _ in rows)


def _rung(*released: Rows) -> Counter[str]:
    """For whom to ring: those that were released, and once for each limit that waits for a time."""
    return Counter(queue for rows in released for _, queue in rows)
