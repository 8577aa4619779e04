"""What the verbs do, as generators of script calls. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

from umbel.claims.sessions import merged, told
from umbel.contracts.broker import Beat, Ended, Reclaimed, SessionDead
from umbel.contracts.claims import Answer, Pointer, Verdict
from umbel.contracts.jobs import Revoked
from umbel.contracts.powers import Location, SessionInfo
from umbel.engines.redis_command import Command, Script, Word, load
from umbel.engines.redis_layout import QUEUES, prefix
from umbel.model.job import Counts, Delivery, Doom
from umbel.states import Place

T = TypeVar("T")
Steps: TypeAlias = Generator[Sequence[Command], list[Any], T]

FOLDER: Final = Path(__file__).parent / "scripts"
MAX_FREED: Final = 200
MAX_SETTLED: Final = 256
MAX_DOOMED: Final = 500
_WINDOW: Final = 16
_SOMEWHERE: Final = "ready"
"""What is assumed of a job that nobody has received yet: RabbitMQ cannot be asked for one message."""


class Calls:
    """Makes commands of script names. *channel* is what channels of records begin with.

    *clock* answers unix seconds and is for tests; without it the server's own clock counts.
    """

    def __init__(self, channel: bytes, clock: Callable[[], float] | None) -> None:
        self.channel = channel
        self.waiting: set[str] = set()
        """Homes in whose outbox jobs wait to be sent on."""
        self._clock = clock
        self._scripts: dict[str, Script] = {}

    def make(self, name: str, queue: str, *words: Word, once: bool = False) -> Command:
        """The call of script *name* on *queue* with *words* as its own arguments; see `Command` for *once*."""
        place = self.place(queue)
        now: Word = b"" if self._clock is None else int(self._clock() * 1000)
        script = self._script(name)
        return Command((b"EVALSHA", script.sha, 1, place + b"holders", place, now, *words), script, once)

    def register(self, queues: Sequence[str]) -> Command:
        """The call that makes *queues* known by name."""
        script = self._script("register")
        return Command((b"EVALSHA", script.sha, 1, QUEUES, *queues), script)

    def place(self, queue: str) -> bytes:
        """What the keys of *queue* begin with: apart from those of a queue that is kept in Redis itself."""
        return prefix(queue) + b"c:"

    def queue(self, place: bytes) -> str:
        """The name of the queue whose keys begin with *place*."""
        return place.removeprefix(b"umbel:{").removesuffix(b"}:c:").decode()

    def records(self, queue: str) -> bytes:
        """What the keys of records begin with; see `engines.redis_layout.record_key`."""
        return prefix(queue) + b"r:"

    def _script(self, name: str) -> Script:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = load(FOLDER, name)
        return script


def heartbeat(
    calls: Calls, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool
) -> Steps[list[bool]]:
    """Renew or open; a session counts as alive if it is so in every queue."""
    words = (int(lease * 1000), int(opening), *(word for beat in beats for word in (beat.session, beat.info)))
    commands = [calls.make("heartbeat", queue, *words) for queue in queues]
    if opening:
        commands.append(calls.register(queues))
    replies = yield commands
    return [all(reply[place] == 1 for reply in replies[: len(queues)]) for place in range(len(beats))]


def claim(
    calls: Calls, session: str, number: int, queue: str, pointers: Sequence[Pointer]
) -> Steps[list[Answer] | None]:
    """Lease the jobs of *pointers*."""
    words: list[Word] = [session, number, calls.records(queue)]
    for pointer in pointers:
        words += (pointer.id, pointer.generation, int(pointer.copy))
    # Sent again it would be refused as too late, and what the first one leased would be held by nobody who knows.
    (reply,) = yield [calls.make("claim", queue, *words, once=True)]
    if reply[0] == b"dead":
        raise SessionDead(session)
    if reply[0] == b"paused":
        return [Answer("paused")] * len(pointers)
    if reply[0] == b"more":
        calls.waiting.add(queue)
    return None if reply[0] == b"stale" else [_answer(each) for each in reply[1:]]


def settle(calls: Calls, session: str, verdicts: Sequence[Verdict]) -> Steps[list[bool]]:
    """Carry out *verdicts*, in atomic steps a queue."""
    answers = [False] * len(verdicts)
    places: dict[str, list[int]] = {}
    for place, verdict in enumerate(verdicts):
        places.setdefault(verdict.delivery.queue, []).append(place)
    for queue, all_mine in places.items():
        for start in range(0, len(all_mine), MAX_SETTLED):
            mine = all_mine[start : start + MAX_SETTLED]
            reply = yield from _settled(calls, session, queue, [verdicts[place] for place in mine])
            for place, ours in zip(mine, reply, strict=True):
                answers[place] = ours == 1
    return answers


def _settled(calls: Calls, session: str, queue: str, verdicts: Sequence[Verdict]) -> Steps[list[int]]:
    flowing = any(verdict.joins or verdict.added for verdict in verdicts)
    words: list[Word] = [session, calls.records(queue), calls.channel, len(verdicts)]
    for verdict in verdicts:
        words += (*_words(verdict), len(verdict.joins) + len(verdict.added))
    for verdict in verdicts if flowing else ():
        words += _operations(calls, verdict)
    (reply,) = yield [calls.make("settle_joins" if flowing else "settle", queue, *words)]
    calls.waiting.update(calls.queue(place) for place in reply[len(verdicts) :])
    return list(reply[: len(verdicts)])


def published(calls: Calls, queue: str, job_id: str, parcel: bytes, task: str) -> Steps[None]:
    """Forget *parcel*; the job is parked under *task*, if that is not empty."""
    yield [calls.make("published", queue, job_id, parcel, task)]


def reconcile(
    calls: Calls, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]
) -> Steps[list[str]]:
    """Give up what the session has beyond *held*."""
    tags: dict[str, list[Word]] = {queue: [] for queue in queues}
    for delivery in held:
        if delivery.queue in tags:
            tags[delivery.queue] += (delivery.id, delivery.number)
    replies = yield [calls.make("reconcile", queue, session, number, *words) for queue, words in tags.items()]
    if all(reply[0] == b"dead" for reply in replies):
        raise SessionDead(session)
    return [job_id.decode() for reply in replies if reply[0] == b"ok" for job_id in reversed(reply[2:])]


def mark(calls: Calls, session: str, delivery: Delivery) -> Steps[bool]:
    """Mark *delivery* as about to start."""
    (reply,) = yield [calls.make("mark", delivery.queue, session, delivery.id, delivery.number)]
    return bool(reply == 1)


def note(calls: Calls, session: str, notes: Sequence[tuple[Delivery, bytes]]) -> Steps[list[bool]]:
    """Keep notes; of a delivery that is named twice the last one."""
    return (yield from _kept(calls, "note", session, notes))


def amend(calls: Calls, session: str, amended: Sequence[tuple[Delivery, bytes]]) -> Steps[list[bool]]:
    """Keep envelopes; of a delivery that is named twice the last one."""
    return (yield from _kept(calls, "amend", session, amended))


def _kept(calls: Calls, script: str, session: str, given: Sequence[tuple[Delivery, bytes]]) -> Steps[list[bool]]:
    words: dict[str, list[Word]] = {}
    for delivery, text in given:
        words.setdefault(delivery.queue, []).extend((delivery.id, delivery.number, text))
    replies = yield [calls.make(script, queue, session, *told) for queue, told in words.items()]
    answers = {queue: iter(reply) for queue, reply in zip(words, replies, strict=True)}
    return [next(answers[delivery.queue]) == 1 for delivery, _ in given]


def reclaim(calls: Calls, queues: Sequence[str], lease: float, ended: Sequence[Ended]) -> Steps[Reclaimed]:
    """Close the *ended* sessions in each queue, then look after the lapsed ones; all within one budget of jobs."""
    milliseconds = int(lease * 1000)
    budget = MAX_FREED
    for queue in queues:
        for end in ended:
            (closed,) = yield [calls.make("close", queue, end.session, budget, milliseconds, *told(end))]
            budget -= closed
    returned = MAX_FREED - budget
    share = max(min(budget, 1), budget // max(1, len(queues)))
    replies = yield [calls.make("reclaim", queue, milliseconds, share) for queue in queues]
    deadlines = [reply[1] / 1000 for reply in replies if reply[1] >= 0]
    returned += sum(reply[0] for reply in replies)
    return Reclaimed(returned=returned, next_deadline=min(deadlines, default=None))


def parked(calls: Calls, queues: Sequence[str], tasks: Collection[str]) -> Steps[list[dict[str, int]]]:
    """Under which of *tasks* jobs are parked, and how often they were."""
    replies = yield [Command((b"HGETALL", calls.place(queue) + b"parked")) for queue in queues]
    return [{name.decode(): int(times) for name, times in reply.items() if name.decode() in tasks} for reply in replies]


def unparked(calls: Calls, queue: str, tasks: Mapping[str, int]) -> Steps[None]:
    """Nothing is parked under *tasks* any more, unless it was parked after they were counted."""
    yield [calls.make("unparked", queue, *(word for pair in tasks.items() for word in pair))]


def queues() -> Steps[list[str]]:
    """The names of all queues in which a session was opened."""
    (reply,) = yield [Command((b"SMEMBERS", QUEUES))]
    return sorted(name.decode() for name in reply)


def pause(calls: Calls, queue: str, *, paused: bool) -> Steps[None]:
    """Have claims in *queue* answered by "paused", or no longer."""
    key = calls.place(queue) + b"paused"
    yield [calls.register([queue]), Command((b"SET", key, 1) if paused else (b"DEL", key))]


def paused(calls: Calls, names: Sequence[str]) -> Steps[list[bool]]:
    """Which queues are paused."""
    replies = (yield [Command((b"EXISTS", calls.place(name) + b"paused")) for name in names]) if names else []
    return [bool(reply) for reply in replies]


def running(calls: Calls, names: Sequence[str]) -> Steps[list[int]]:
    """How many jobs are leased in each queue."""
    replies = (yield [Command((b"HLEN", calls.place(name) + b"holders")) for name in names]) if names else []
    return [int(reply) for reply in replies]


def sessions(calls: Calls, names: Sequence[str]) -> Steps[list[SessionInfo]]:
    """Each open session once: the shortest lease, the jobs of all queues."""
    replies = (yield [calls.make("sessions", name) for name in names]) if names else []
    return merged(entry for reply in replies for entry in reply)


def locate(calls: Calls, job_id: str, queue: str | None) -> Steps[Location]:
    """Where *job_id* is, in every queue if *queue* is None."""
    names = [queue] if queue is not None else (yield from queues())
    replies = (yield [calls.make("locate", name, job_id, calls.records(name)) for name in names]) if names else []
    for name, (place, retries, doom, note) in zip(names, replies, strict=True):
        if place:
            return Location(place.decode(), name, int(retries), doom.decode(), note)
    dooms = {doom.decode() for _, _, doom, _ in replies if doom}
    return Location(_SOMEWHERE, queue or "", doom=cast("Doom", min(dooms, default="")), guessed=True)


def doom(calls: Calls, keys: Sequence[tuple[str, str | None]]) -> Steps[list[Revoked]]:
    """Doom the jobs of *keys*: without a queue where they are known, or else everywhere."""
    names = (yield from queues()) if any(queue is None for _, queue in keys) else []
    found: dict[tuple[str, str | None], Revoked] = {}
    somewhere = [job_id for job_id, queue in keys if queue is None]
    for answers in (yield from _doomed(calls, dict.fromkeys(names, somewhere), known=True)):
        found.update({(each.id, None): each for each in answers if each.place != "unknown"})
    wanted: dict[str, list[str]] = {}
    for job_id, queue in keys:
        for name in names if queue is None else (queue,):
            if (job_id, queue) not in found:
                wanted.setdefault(name, []).append(job_id)
    for answers in (yield from _doomed(calls, wanted, known=False)):
        found.update({(each.id, each.queue): each for each in answers})
    return [found.get(key) or Revoked(key[0], "unknown") for key in keys]


def _doomed(calls: Calls, wanted: Mapping[str, Sequence[str]], *, known: bool) -> Steps[list[list[Revoked]]]:
    """Doom the ids *wanted* of each queue, with *known* only those that somebody received; answers piece by piece."""
    pieces = [
        (name, ids[start : start + MAX_DOOMED])
        for name, ids in wanted.items()
        for start in range(0, len(ids), MAX_DOOMED)
    ]
    found: list[list[Revoked]] = []
    for start in range(0, len(pieces), _WINDOW):
        window = pieces[start : start + _WINDOW]
        replies = yield [calls.make("doom", name, calls.records(name), int(known), *ids) for name, ids in window]
        for (name, ids), places in zip(window, replies, strict=True):
            found.append([_revoked(job_id, name, place) for job_id, place in zip(ids, places, strict=True)])
    return found


def _revoked(job_id: str, queue: str, place: bytes) -> Revoked:
    return Revoked(job_id, cast("Place", place.decode()), queue) if place else Revoked(job_id, "unknown")


def _answer(reply: list[Any]) -> Answer:
    match reply[0]:
        case b"held":
            return Answer("held", seconds=int(reply[1]) / 1000)
        case b"over":
            return Answer("over", parcel=reply[1])
        case _ if len(reply) > 1:
            retries, crashes, losses, marked = (int(word) for word in reply[1:5])
            counts = Counts(retries, crashes, losses, bool(marked), cast("Doom", reply[6].decode()))
            return Answer("ours", counts, returned=reply[5] == b"1", envelope=reply[7])
        case _:
            return Answer("ours")


def _words(verdict: Verdict) -> tuple[Word, ...]:
    delivery, counts = verdict.delivery, verdict.counts
    value: Word = verdict.task if verdict.kind == "park" else verdict.record
    more = int(verdict.delay * 1000) if verdict.kind == "retry" else max(1, int(verdict.ttl * 1000))
    told = f"{counts.retries}:{counts.crashes}:{counts.losses}"
    return (
        delivery.id, delivery.number, verdict.kind, value, more, verdict.generation, told, verdict.parcel
    )  # fmt: skip


def _operations(calls: Calls, verdict: Verdict) -> list[Word]:
    words: list[Word] = []
    for number, (flow, home, node) in enumerate(verdict.added):
        words += ("A", calls.place(home), flow, node, f"{verdict.delivery.id}:{number}")
    for join in verdict.joins:
        words += ("N", calls.place(join.home), join.flow, join.node, join.member)
        words.append((b"0" if join.failed else b"1") + join.value)
    return words
