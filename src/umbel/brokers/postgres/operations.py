"""What the verbs do, as generators of transactions: splitting, order, answers. No I/O here."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec

from umbel.brokers.postgres import flow_operations, packing
from umbel.brokers.postgres.floors import Floors
from umbel.brokers.postgres.flow_operations import MAX_OPENED
from umbel.brokers.postgres.flow_packing import have_joins
from umbel.brokers.postgres.packing import keys
from umbel.contracts.broker import Beat, Ended, SessionDead, Settlement
from umbel.engines.operation import Operation
from umbel.engines.postgres_command import Command, Query, Statements
from umbel.engines.postgres_commits import Commits
from umbel.engines.postgres_topics import LOCK_CLASS, number, ring, work
from umbel.engines.postgres_values import Blobs, key, moment, plain, text, texts
from umbel.exceptions import BrokerError, BrokerFull, BrokerUnavailable
from umbel.model.job import MAX_PRIORITY, Delivery, Job

T = TypeVar("T")
Steps: TypeAlias = Operation[Command, T]

MAX_RECEIVED: Final = 256
MAX_RECEIVED_BYTES: Final = 1024 * 1024
MAX_MOVED: Final = 200
MAX_UNPARKED: Final = 1000
MAX_EXPIRED: Final = 1000
REMEMBERED_SECONDS: Final = 86_400.0
DEAD_LETTER_SECONDS: Final = 30 * 86_400.0
MAX_DEAD_LETTERS: Final = 100_000
PATIENCE: Final = "10s"
"""How long a transaction of the user's own, in which a job ends, may be idle before its commit."""
SQL: Final = Statements(
    "umbel.brokers.postgres.queries", "send", "receive", "settle", "heartbeat", "reclaim", "unpark", "inspect"
)

_logger = logging.getLogger("umbel.broker")


class Received(msgspec.Struct, frozen=True):
    """What a receive found; *next_due* is in how many seconds the next delayed job is due, if there is one.

    *sent* is how many jobs it made ready in which queue, of nodes of flows that had not sent all of theirs. *held*:
    limits hold some that they may release now.
    """

    deliveries: list[Delivery]
    next_due: float | None = None
    sent: Counter[str] = msgspec.field(default_factory=Counter)
    held: bool = False


class Settled(msgspec.Struct):
    """What a settle did: whether each verdict was ours, whom to wake in which queue, and which jobs ended."""

    ours: list[bool]
    rung: Counter[str] = msgspec.field(default_factory=Counter)
    ended: list[str] = []


class Moved(msgspec.Struct):
    """What a reclaim did; seconds; *ready* names queues in which somebody should look; *limited*: there are limits."""

    promoted: int
    returned: int
    next_due: float | None
    next_deadline: float | None
    ready: list[str]
    limited: bool


class Verbs:
    """Makes operations. *clock* answers unix seconds and is for tests: it replaces the server's clock."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock

    def now(self) -> str | None:
        """What statements take for now; None lets the server look at its own clock."""
        return None if self._clock is None else moment(self._clock())

    # --- the producer's half

    def send(self, jobs: Sequence[Job], new: Collection[str]) -> Steps[Counter[str]]:
        """Accept *jobs*; the names in *new* are kept first. Answers how many to wake in which queue."""
        if new:
            yield [_name(new)]
        if len(jobs) != 1:
            return (yield from self._accept(jobs))
        (job,) = jobs
        topic = work(job.queue)
        values = *packing.job_values(job), self.now(), str(LOCK_CLASS), str(number(topic)), text(topic)
        yield [SQL("send.one", *values)]
        return Counter()  # it has woken somebody itself

    def naming(self, new: Collection[str]) -> Command:
        """What keeps the names in *new*, and otherwise only sees to it that the tables are there."""
        return [_name(new)] if new else []

    def send_in(self, jobs: Sequence[Job]) -> Steps[tuple[str, Counter[str]]]:
        """Accept *jobs* in a transaction that others end; answers its number, and whom to wake if it commits."""
        rung = yield from self._accept(jobs)
        (((transaction,),),) = yield [Commits.number()]
        return transaction, rung

    def _accept(self, jobs: Sequence[Job]) -> Steps[Counter[str]]:
        rung: Counter[str] = Counter()
        for part in packing.chunks(jobs):
            values = packing.jobs_values(part)
            _, rows = yield [SQL("send.lock", values[0]), SQL("send.insert", *values, self.now())]
            rung.update(dict(rows))
        return +rung

    # --- sessions

    def heartbeat(
        self, beats: Sequence[Beat], queues: Sequence[str], lease: float, *, opening: bool
    ) -> Steps[list[bool]]:
        """Renew or open; a session counts as alive if it is so in every queue."""
        infos = {beat.session: beat.info for beat in beats}
        verb = SQL("heartbeat.open" if opening else "heartbeat.renew", plain(infos), Blobs(infos.values()))
        values = (*verb.values, texts(queues), str(lease), self.now())
        # A session that is opened must outlive a crash of the server; a beat is soon followed by another.
        before = [] if opening else [SQL("heartbeat.relax")]
        *_, rows = yield [*before, self._contact(queues, lease), Query(verb.statement, values)]
        found = Counter(row[0] for row in rows)
        return [found[beat.session] == len(queues) for beat in beats]

    def reclaim(self, queues: Sequence[str], lease: float, ended: Sequence[Ended]) -> Steps[Moved]:
        """Declare dead what ended or lapsed, return its jobs, wake for what is due."""
        names, now = texts(queues), self.now()
        gone = plain(each.session for each in ended)
        dooming = packing.dooming(ended)
        *_, moved, outlook = yield [
            *([] if dooming else [SQL("heartbeat.relax")]),  # a doom must outlive a crash of the server
            self._contact(queues, lease),
            SQL("reclaim.cut", names, str(lease), now),
            SQL("reclaim.bury", names, gone, now),
            *([SQL("reclaim.doom", *dooming)] if dooming else []),
            SQL("reclaim.move", names, gone, *packing.started(ended), str(MAX_MOVED), now),
            SQL("reclaim.outlook", names, now),
        ]
        ((promoted, returned),), ((next_due, next_deadline, ready, limited),) = moved, outlook
        sent = Counter[str]()
        if promoted + returned < MAX_MOVED:
            sent = yield from self.send_opened(MAX_MOVED - promoted - returned)
        dues = _ahead(next_due), _ahead(next_deadline)
        return Moved(promoted + sent.total(), returned, *dues, sorted({*ready, *sent}), limited)

    def send_opened(self, limit: int) -> Steps[Counter[str]]:
        """Send on what nodes of flows have left that are open, about *limit* jobs; answers how many in which queue."""
        (rows,) = yield [flow_operations.more(limit, self.now())]
        return Counter(dict(rows))

    def reconcile(
        self, session: str, number: int, queues: Sequence[str], held: Sequence[Delivery]
    ) -> Steps[Counter[str]]:
        """Return what *session* holds beyond *held*; answers how many of which queue."""
        names = texts(queues)
        _, returned, alive = yield [
            SQL("reclaim.number", session, str(number), names),
            SQL("reclaim.reconcile", session, str(number), names, *packing.fences(held)),
            SQL("reclaim.alive", session, names),
        ]
        if not alive:
            raise SessionDead(session)
        return Counter(row[0] for row in returned)

    def clean(self) -> Steps[int]:
        """Delete some records, claims and flows that have expired; answers how many rows at least."""
        expired, *_, inputs = yield [
            SQL("reclaim.expire", str(MAX_EXPIRED), self.now()),
            SQL("reclaim.expire_claims", str(MAX_EXPIRED), self.now()),
            *flow_operations.clean(self.now()),
        ]
        return int(max(expired[0][0], inputs[0][0]))

    def tidy(self, queues: Sequence[str]) -> Steps[None]:
        """Forget sessions that died long ago, and dead letters that are too old or too many."""
        yield [SQL("reclaim.forget", str(REMEMBERED_SECONDS), self.now())]
        limits = str(DEAD_LETTER_SECONDS), str(MAX_DEAD_LETTERS)
        yield [SQL("reclaim.trim", texts(queues), *limits, self.now())]

    # --- deliveries

    def receive(self, session: str, number: int, queues: Sequence[str], limit: int, floors: Floors) -> Steps[Received]:
        """Lease up to *limit* jobs, most urgent first; among equals *queues* are served in their order."""
        places = [(queue, level) for level in range(MAX_PRIORITY + 1) for queue in queues]
        pairs = plain(level for _, level in places), texts(queue for queue, _ in places)
        limits = str(min(limit, MAX_RECEIVED)), str(MAX_RECEIVED_BYTES)
        values = (session, str(number), texts(queues), *pairs, *limits, self.now(), *floors.values(places))
        started = time.monotonic()
        (rows,) = yield [SQL("receive.receive", *values, once=True)]
        alive, next_due, *_, sending, release_due = rows[0]
        if not alive:
            raise SessionDead(session)
        handed = [row for row in rows if row[2] is not None]
        floors.looked(time.monotonic() - started, [(row[3], row[4], row[12], row[13]) for row in handed])
        sent = (yield from self.send_opened(MAX_OPENED)) if sending else Counter[str]()
        held = release_due is not None and release_due <= 0
        due = _ahead(_earlier(next_due, None if held else release_due))
        return Received([packing.delivery(row[2:12], number) for row in handed], due, sent, held)

    def settle(self, session: str, settlements: Sequence[Settlement], new: Collection[str]) -> Steps[Settled]:
        """Carry out verdicts; one that the server cannot carry out blocks no other, and answers False."""
        settled = Settled([False] * len(settlements))
        if new:
            yield [_name(new)]
        for places in packing.batches(settlements):
            batch = [settlements[place] for place in places]
            try:
                won = yield from self._settled(session, batch, settled.rung)
            except (BrokerUnavailable, BrokerFull):
                raise
            except BrokerError:
                won = yield from self._one_by_one(session, batch, settled.rung)
            told = _is_told(batch)
            for index in won:
                settled.ours[places[index]] = True
                if not told:
                    _note(settled, batch[index])
        return settled

    def complete(self, session: str, settlement: Settlement) -> Steps[bool]:
        """Carry out one verdict in a transaction that others end; whatever goes wrong is theirs to see."""
        yield [SQL("settle.hurry", PATIENCE)]
        return bool((yield from self._settled(session, [settlement], Counter(), rings=False)))

    def confirm(self, session: str, settlement: Settlement) -> Steps[Settled]:
        """Whether `complete` was committed; whom to wake if so."""
        fence = key(settlement.delivery.id), str(settlement.delivery.number)
        (rows,) = yield [SQL("settle.stands", session, *fence)]
        confirmed = Settled([not rows])
        if not rows:
            _note(confirmed, settlement)
        return confirmed

    def _settled(
        self, session: str, batch: Sequence[Settlement], rung: Counter[str], *, rings: bool = True
    ) -> Steps[list[int]]:
        """The places of those of *batch* that were ours; *rung* gets whom to wake for what it made ready besides.

        With *rings*, those who wait for verdicts that just end are woken on the way, whosever they were.
        """
        command = self._verdicts(session, batch)
        if have_joins(batch):
            replies = yield flow_operations.settled(session, batch, command, self.now())
            rows = replies[len(command)]
            rung.update(dict(replies[-1]))
        elif rings and _is_told(batch):
            rows = (yield [*command, ring({}, [each.delivery.id for each in batch])._replace(after=True)])[0]
        else:
            rows = (yield command)[-1]
        hurried: list[int] = [row[0] - 1 for row in rows if row[-1] is True]
        rung.update(batch[place].delivery.queue for place in hurried)
        return [row[0] - 1 for row in rows]

    def _verdicts(self, session: str, batch: Sequence[Settlement]) -> list[Query]:
        if packing.is_plain(batch):
            return [SQL("settle.end", session, *packing.ending(batch), self.now())]
        command = [SQL("settle.settle", session, *packing.settling(batch), self.now())]
        follow_ups = [job.id for each in batch for job in each.follow_ups]
        return [SQL("send.lock", keys(follow_ups)), *command] if follow_ups else command

    def _one_by_one(self, session: str, batch: Sequence[Settlement], rung: Counter[str]) -> Steps[list[int]]:
        won: list[int] = []
        for index, each in enumerate(batch):
            try:
                won += [index for _ in (yield from self._settled(session, [each], rung))]
            except (BrokerUnavailable, BrokerFull):
                raise
            except BrokerError as error:
                _logger.error("job %s cannot be settled and will run again: %s", each.delivery.id, error)  # noqa: TRY400
        return won

    def mark(self, session: str, delivery: Delivery) -> Steps[bool]:
        """Note that *delivery* is about to start alone."""
        (rows,) = yield [SQL("settle.mark", session, key(delivery.id), str(delivery.number))]
        return bool(rows)

    def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> Steps[Counter[str]]:
        """Make ready what is parked for *tasks*; answers how many of which queue."""
        moved: Counter[str] = Counter()
        while tasks:
            (rows,) = yield [SQL("unpark.unpark", texts(queues), texts(tasks), str(MAX_UNPARKED))]
            moved.update(row[0] for row in rows)
            if len(rows) < MAX_UNPARKED:
                break
        return moved

    def _contact(self, queues: Sequence[str], lease: float) -> Query:
        return SQL("heartbeat.contact", texts(queues), str(lease), self.now())


def _name(queues: Collection[str]) -> Query:
    return SQL("send.name_queues", texts(queues))


def _is_told(batch: Sequence[Settlement]) -> bool:
    """Whether whoever waits for *batch* is woken by its settle."""
    return packing.is_plain(batch) and not have_joins(batch)


def _note(settled: Settled, settlement: Settlement) -> None:
    if settlement.kind in ("end", "dead"):
        settled.ended.append(settlement.delivery.id)
    elif settlement.kind != "park":
        settled.rung[settlement.delivery.queue] += 1
    if settlement.follow_ups:
        settled.rung.update(job.queue for job in settlement.follow_ups)


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _ahead(seconds: float | None) -> float | None:
    return None if seconds is None else max(0.0, seconds)
