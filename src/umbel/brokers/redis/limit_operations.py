"""What the verbs of limits do, as generators of script calls. No I/O here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.job_operations import parts
from umbel.brokers.redis.limit_packing import admitting, entry_words, pace_word, standing_of
from umbel.brokers.redis.operations import Steps
from umbel.contracts.limits import Admission, Entry, Standing
from umbel.engines.redis_command import Word
from umbel.exceptions import QueueFull
from umbel.model.limit import Limit, Pace

MAX_ENTERED: Final = 200
_WINDOW: Final = 16


def admit(calls: Calls, admissions: Sequence[Admission], new: Collection[str]) -> Steps[list[str]]:
    """Accept jobs; answers whose id stands. Queues named in *new* are registered first. Raises `QueueFull`."""
    standing = [each.job.id for each in admissions]
    if new:
        yield [calls.register(new)]
    pieces = list(admitting(calls, admissions))
    full: QueueFull | None = None
    for window in parts(pieces, _WINDOW):
        replies = yield [command for command, _ in window]
        for (_, places), reply in zip(window, replies, strict=True):
            if reply[0] == b"full":
                job, most = admissions[places[0]].job, min(filter(None, (admissions[at].max_length for at in places)))
                full = full or QueueFull(f"queue {job.queue!r} has {reply[1]} jobs, and may have {most}")
                continue
            for place, job_id in zip(places, reply[1:], strict=True):
                standing[place] = job_id.decode()
    if full is not None:
        raise full
    return standing


def enter(calls: Calls, session: str, entries: Sequence[Entry]) -> Steps[list[str]]:
    """Ask for deliveries that are about to start, 200 a step."""
    queues: dict[str, list[int]] = {}
    for place, entry in enumerate(entries):
        queues.setdefault(entry.delivery.queue, []).append(place)
    pieces = [(queue, part) for queue, places in queues.items() for part in parts(places, MAX_ENTERED)]
    commands = [
        calls.make("enter", queue, (session, *(word for place in part for word in entry_words(entries[place]))))
        for queue, part in pieces
    ]
    replies = (yield commands) if commands else []
    answers = ["lost"] * len(entries)
    for (_, part), reply in zip(pieces, replies, strict=True):
        for place, answer in zip(part, reply, strict=True):
            answers[place] = answer.decode()
    return answers


def leave(calls: Calls, left: Sequence[tuple[str, Limit, str]]) -> Steps[None]:
    """Look after jobs, 200 a step."""
    queues: dict[str, list[Word]] = {}
    for queue, _, job_id in left:
        queues.setdefault(queue, []).append(job_id)
    commands = [calls.make("leave", queue, part) for queue, ids in queues.items() for part in parts(ids, MAX_ENTERED)]
    if commands:
        yield commands


def adjust(calls: Calls, queue: str, task: str, pace: Pace | None) -> Steps[None]:
    """Let the limits of *task* allow *pace*; the name of the queue is known from then on."""
    word = "" if pace is None else pace_word(pace)
    _, last = yield [calls.register([queue]), calls.make("adjust", queue, (task, word, ""))]
    while last:
        (last,) = yield [calls.make("adjust", queue, (task, word, last))]


def adjusted(calls: Calls, queues: Sequence[str]) -> Steps[list[tuple[str, str]]]:
    """The tasks that are adjusted in *queues*, with their queues."""
    replies = (yield [calls.make("adjusted", queue, ()) for queue in queues]) if queues else []
    return [(queue, task.decode()) for queue, tasks in zip(queues, replies, strict=True) for task in tasks]


def limits(calls: Calls, queue: str, after: str, limit: int) -> Steps[list[tuple[str, Standing]]]:
    """A page of the limits of *queue*."""
    (rows,) = yield [calls.make("limits", queue, (after, limit))]
    return [(row[0].decode(), standing_of(row)) for row in rows]
