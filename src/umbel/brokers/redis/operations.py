"""What the verbs do, as generators of script calls: splitting, order, answers. No I/O here."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from umbel.brokers.redis import outbox
from umbel.brokers.redis.calls import Calls
from umbel.brokers.redis.packing import Batch, batches, counts_of
from umbel.claims.sessions import told
from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead, Settlement
from umbel.engines.redis_command import Command
from umbel.engines.redis_jobs import chunks
from umbel.engines.redis_reply import WrongType
from umbel.exceptions import BrokerError, BrokerFull, BrokerUnavailable
from umbel.model.ageing import MOST_RAISED
from umbel.model.job import Delivery, Job

T = TypeVar("T")
Steps: TypeAlias = Generator[Sequence[Command], list[Any], T]
Damage: TypeAlias = list[tuple[str, str, str]]

MAX_RECEIVED: Final = 256
MAX_RECEIVED_BYTES: Final = 1024 * 1024
MAX_MOVED: Final = 200
_WINDOW: Final = 16

_logger = logging.getLogger("umbel.broker")


def named(calls: Calls, queues: Collection[str], steps: Steps[T]) -> Steps[T]:
    """*steps*; if they meet a key of a wrong type, the error names it: Redis itself does not."""
    try:
        return (yield from steps)
    except WrongType as error:
        found = yield from _damage(calls, queues)
        if not found:
            raise
        keys = "; ".join(f"key {key!r} is a {kind}, not a {expected}" for key, kind, expected in found)
        raise BrokerError(f"{keys} ({error})") from error


def _damage(calls: Calls, queues: Collection[str]) -> Steps[Damage]:
    replies = yield [calls.make("diagnose", queue) for queue in queues]
    words = [word.decode() for reply in replies for word in reply]
    return list(zip(words[::3], words[1::3], words[2::3], strict=True))


def send(calls: Calls, jobs: Sequence[Job], new: Collection[str]) -> Steps[None]:
    """Accept *jobs*, in chunks, several a round trip; queues named in *new* are registered first."""
    commands = [calls.make("send", queue, words) for queue, words in chunks(jobs)]
    if new:
        commands.insert(0, calls.register(new))  # the name first: a queue that holds jobs is always found
    for start in range(0, len(commands), _WINDOW):
        yield commands[start : start + _WINDOW]


def heartbeat(
    calls: Calls, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool
) -> Steps[list[bool]]:
    """Renew or open; a session counts as alive if it is so in every queue."""
    words = (int(lease * 1000), int(opening), *(word for beat in beats for word in (beat.session, beat.info)))
    commands = [calls.make("heartbeat", queue, words) for queue in queues]
    if opening:
        commands.append(calls.register(queues))
    replies = yield commands
    return [all(reply[place] for reply in replies[: len(queues)]) for place in range(len(beats))]


def receive(
    calls: Calls, session: str, number: int, queues: Sequence[str], limit: int, paused: set[str]
) -> Steps[tuple[list[Delivery], float | None]]:
    """Lease from *queues* in their order; answers the deliveries and in how many seconds a job is due, if one is.

    Queues that are found to be paused are put into *paused*.
    """
    found: list[Delivery] = []
    next_due: float | None = None
    dead = 0
    for queue in queues:
        want = min(limit - len(found), MAX_RECEIVED)
        if want <= 0:
            break
        words = (session, number, want, MAX_RECEIVED_BYTES)
        (reply,) = yield [calls.make("receive", queue, words, once=True)]
        if reply[0] == b"dead":
            dead += 1
        elif reply[0] == b"ok":
            found += deliveries(reply, queue, number)
            next_due = _sooner(next_due, reply[1])
        elif reply[0] == b"paused":
            paused.add(queue)
    if dead == len(queues):
        raise SessionDead(session)
    return found, next_due


def nudge(calls: Calls, queues: Sequence[str]) -> Steps[None]:
    """Wake one idle receiver of each of *queues*, should there be one."""
    yield [calls.make("nudge", queue) for queue in queues]


def settle(calls: Calls, session: str, settlements: Sequence[Settlement], new: Collection[str]) -> Steps[list[bool]]:
    """Carry out *settlements*; one that the server cannot carry out blocks no other, and answers False."""
    answers = [False] * len(settlements)
    if new:
        yield [calls.register(new)]
    for batch in batches(settlements, apart=calls.clustered):
        try:
            answered = yield from _settled(calls, session, batch)
        except (BrokerUnavailable, BrokerFull):
            raise
        except BrokerError:
            answered = yield from _one_by_one(calls, session, [settlements[place] for place in batch.places])
        for place, answer in zip(batch.places, answered, strict=True):
            answers[place] = answer
    if calls.clustered and any(item.follow_ups or item.joins for item in settlements):
        yield from outbox.delivered(calls, [item for item, answer in zip(settlements, answers, strict=True) if answer])
    return answers


def reconcile(calls: Calls, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]) -> Steps[int]:
    """Give back what the broker holds beyond *held*; answers how many."""
    tags: dict[str, list[str]] = {queue: [] for queue in queues}
    for delivery in held:
        if delivery.queue in tags:
            tags[delivery.queue] += (delivery.id, f"{delivery.level}:{delivery.number}")
    replies = yield [calls.make("reconcile", queue, (session, number, *words)) for queue, words in tags.items()]
    if all(reply[0] == b"dead" for reply in replies):
        raise SessionDead(session)
    return sum(reply[1] for reply in replies if reply[0] == b"ok")


def mark(calls: Calls, session: str, delivery: Delivery) -> Steps[bool]:
    """Mark *delivery* as about to start."""
    words = (session, delivery.id, f"{delivery.level}:{delivery.number}")
    (reply,) = yield [calls.make("mark", delivery.queue, words)]
    return bool(reply == 1)


def reclaim(calls: Calls, queues: Sequence[str], lease: float, ended: Sequence[Ended]) -> Steps[Reclaimed]:
    """Close the *ended* sessions in each queue, then look after the lapsed ones; all within one budget of jobs."""
    milliseconds = int(lease * 1000)
    budget = MAX_MOVED
    for queue in queues:
        for end in ended:
            (closed,) = yield [calls.make("close", queue, (end.session, budget, milliseconds, *told(end)))]
            budget -= closed
    returned = MAX_MOVED - budget
    if calls.clustered:
        yield from outbox.emptied(calls, queues)
    share = max(min(budget, 1), budget // max(1, len(queues)))
    replies = yield [calls.make("reclaim", queue, (milliseconds, share)) for queue in queues]
    promoted = 0
    next_due: float | None = None
    next_deadline: float | None = None
    for reply in replies:
        promoted += reply[0]
        returned += reply[1]
        next_due = _sooner(next_due, reply[2])
        next_deadline = _sooner(next_deadline, reply[3])
    return Reclaimed(promoted, returned, next_due, next_deadline)


def age(calls: Calls, queues: Sequence[str], seconds: float) -> Steps[int]:
    """Let jobs rise by one level of which none was taken for *seconds*; answers how many."""
    replies = yield [calls.make("age", queue, (round(seconds * 1000), MOST_RAISED)) for queue in queues]
    return sum(replies)


def unpark(calls: Calls, queues: Sequence[str], tasks: Collection[str]) -> Steps[int]:
    """Make ready what is parked under *tasks*; answers how many."""
    waiting = yield [Command((b"SMEMBERS", calls.place(queue) + b"parked")) for queue in queues]
    names = set(tasks)
    moved = 0
    for queue, parked in zip(queues, waiting, strict=True):
        for task in names.intersection(name.decode() for name in parked):
            while True:
                (count,) = yield [calls.make("unpark", queue, (task, MAX_MOVED))]
                moved += count
                if count < MAX_MOVED:
                    break
    return moved


def _settled(calls: Calls, session: str, batch: Batch) -> Steps[list[bool]]:
    words = (session, calls.channel, len(batch.places), *batch.items, *batch.operations)
    (reply,) = yield [calls.make(batch.script, batch.queue, words)]
    if reply[0] != b"ok":
        return [False] * len(batch.places)
    return [answer == 1 for answer in reply[1:]]


def _one_by_one(calls: Calls, session: str, settlements: Sequence[Settlement]) -> Steps[list[bool]]:
    """Settle each alone. An item that fails is left to the session's end, unless it is the queue that is damaged."""
    answers: list[bool] = []
    for settlement in settlements:
        (batch,) = batches([settlement], apart=calls.clustered)
        try:
            answers += yield from _settled(calls, session, batch)
        except (BrokerUnavailable, BrokerFull):
            raise
        except BrokerError as error:
            if isinstance(error, WrongType) and (yield from _is_damaged(calls, session, batch.queue)):
                raise
            _logger.error("job %s cannot be settled and will run again: %s", settlement.delivery.id, error)  # noqa: TRY400
            answers.append(False)
    return answers


def _is_damaged(calls: Calls, session: str, queue: str) -> Steps[bool]:
    """Whether a key that every settle of *session* needs is of a wrong type: then all of them have to wait."""
    names = ("jobs", "sessions", "counts", "meta", f"held:{session}")
    needed = {calls.place(queue).decode() + name for name in names}
    found = yield from _damage(calls, [queue])
    return any(key in needed for key, _, _ in found)


def deliveries(reply: list[Any], queue: str, number: int) -> list[Delivery]:
    """The jobs of the *reply* to a script that leased them."""
    return [
        Delivery(job_id.decode(), queue, level, number, envelope)
        if counts is None
        else Delivery(job_id.decode(), queue, level, number, envelope, counts_of(counts), returned=counts[-1:] != b"f")
        for job_id, level, envelope, counts in zip(reply[2::4], reply[3::4], reply[4::4], reply[5::4], strict=True)
    ]


def _sooner(known: float | None, milliseconds: int) -> float | None:
    if milliseconds < 0:
        return known
    return milliseconds / 1000 if known is None else min(known, milliseconds / 1000)
