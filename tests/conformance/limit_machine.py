"""Jobs under limits through any sequence of verbs: never more run than may, and in the end every job has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from umbel.contracts.broker import Beat, Broker, Ended, Kind, Settlement
from umbel.contracts.jobs import JobHolder
from umbel.contracts.limits import Admission, Entry, LimitHolder, LimitStore
from umbel.contracts.powers import Inspector
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.model.limit import Limit, Pace, Unique
from umbel.testing import Clock

T = TypeVar("T")

QUEUE = "limits"
TASK = "task"
LEASE = 1e6
TTL = 1e6
STEP = 1.3
ROUNDS = 400
LIMITS = (
    Limit(TASK, "one", None, Pace(concurrency=1)),
    Limit(TASK, "two", "a", Pace(concurrency=2)),
    Limit(TASK, "two", "b", Pace(concurrency=2)),
    Limit(TASK, "slow", None, Pace(interval=2.0)),
    Limit(TASK, "both", None, Pace(concurrency=1, interval=0.5, burst=2)),
    Limit(TASK, "turn", "a"),
    Limit(TASK, "turn", "b"),
    None,
)
PACES = (None, Pace(interval=1.0), Pace(concurrency=2, interval=0.5, burst=2), Pace(concurrency=1), Pace())
UNIQUES = (None, None, Unique("x"), Unique("y"), Unique("z", "queued"))


class Given(NamedTuple):
    """A delivery of a session; whether it has started."""

    session: str
    delivery: Delivery
    runs: bool = False


class LimitMachine(RuleBasedStateMachine):
    """Subclass it and write the hook; `TestCase` of the subclass is what pytest runs."""

    def make(self, clock: Callable[[], float]) -> Broker:
        """One client of the engine under test; empty when the machine starts."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock(1_750_000_000.0)
        self.broker = self.make(self.clock)
        self.given: dict[str, Given] = {}
        self.stands: dict[str, tuple[Limit | None, Unique | None]] = {}
        self.starts: list[float] = []
        self.paces: list[Pace] = []
        self.adjusts = False
        self.placed: dict[str, int] = {}
        self.sent = 0

    def teardown(self) -> None:
        """The workers go on: whatever happened before, every job ends."""
        try:
            self.go_on()
        finally:
            self.run(self.broker.aclose())
            self.broker.close()
            self.runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one call in the machine's own loop."""
        return self.runner.run(coroutine)

    @property
    def limiter(self) -> LimitStore:
        """The limits under test."""
        assert isinstance(self.broker, LimitHolder)
        return self.broker.limit_store

    # --- what producers do

    @initialize(adjusts=st.booleans())
    def begin(self, adjusts: bool) -> None:
        self.adjusts = adjusts
        self.session = self.open()
        self.admit(0, 3, 0, 0.0, None)
        self.admit(3, 3, 0, 0.0, None)

    def open(self) -> str:
        """A new session."""
        session = new_session()
        assert self.run(self.broker.heartbeat([Beat(session)], [QUEUE], LEASE, opening=True)) == [True]
        return session

    @rule(
        kind=st.integers(0, len(LIMITS) - 1),
        count=st.integers(1, 4),
        priority=st.sampled_from((0, 0, 9)),
        delay=st.sampled_from((0.0, 0.0, 1.7)),
        unique=st.sampled_from(UNIQUES),
    )
    def admit(self, kind: int, count: int, priority: int, delay: float, unique: Unique | None) -> None:
        admissions = [Admission(self.job(kind, priority, delay, unique), LIMITS[kind], unique) for _ in range(count)]
        standing = self.run(self.limiter.aadmit(admissions))
        for each, holder in zip(admissions, standing, strict=True):
            if holder != each.job.id:
                assert holder in self.stands
                del self.stands[each.job.id]

    @rule(kind=st.integers(0, len(LIMITS) - 1), count=st.integers(1, 4), unique=st.sampled_from(UNIQUES))
    def send(self, kind: int, count: int, unique: Unique | None) -> None:
        self.run(self.broker.asend([self.job(kind, 0, 0.0, unique) for _ in range(count)]))

    def job(self, kind: int, priority: int, delay: float, unique: Unique | None) -> Job:
        """A new job, and what it stands under."""
        self.sent += 1
        job = Job(f"job-{self.sent}", QUEUE, b"%d" % kind, priority, delay)
        self.stands[job.id] = LIMITS[kind], unique
        return job

    # --- what those do who change limits

    @rule(data=st.data(), kind=st.integers(0, len(LIMITS) - 1))
    def deploy(self, data: st.DataObject, kind: int) -> None:
        """New code has another limit for a job that waits, or that was lost."""
        waiting = [job_id for job_id in sorted(self.stands) if job_id not in self.given]
        if waiting:
            job_id = data.draw(st.sampled_from(waiting))
            self.stands[job_id] = LIMITS[kind], self.stands[job_id][1]

    @precondition(lambda self: self.adjusts)
    @rule(pace=st.sampled_from(PACES))
    def adjust(self, pace: Pace | None) -> None:
        self.run(self.limiter.aadjust(QUEUE, TASK, pace))
        self.paces += [] if pace is None else [pace]

    # --- what workers do

    @rule(limit=st.integers(1, 6), repeat=st.booleans())
    def work(self, limit: int, repeat: bool) -> None:
        """Receive, and ask of all that was received whether it may start."""
        for delivery in self.run(self.broker.receive(self.session, [QUEUE], limit, wait=0)):
            self.given[delivery.id] = Given(self.session, delivery)
            if delivery.counts.doom:  # a worker ends it without asking
                self.settle(delivery.id, "end", leaves=True)
        waiting = [each for each in self.given.values() if not each.runs and each.session == self.session]
        entries = [Entry(each.delivery, *self.stands[each.delivery.id]) for each in waiting]
        answers = self.run(self.limiter.enter(self.session, entries))
        if repeat:
            again = self.run(self.limiter.enter(self.session, entries))
            assert [one for one, two in zip(answers, again, strict=True) if two not in (one, "lost")] == []
        for entry, answer in zip(entries, answers, strict=True):
            self.answered(entry, answer)

    def answered(self, entry: Entry, answer: str) -> None:
        """Do as a worker does when it has asked."""
        delivery = entry.delivery
        if answer == "run":
            self.given[delivery.id] = Given(self.session, delivery, runs=True)
            retries = self.placed.get(delivery.id)
            if entry.limit is not None and entry.limit.key == "slow" and retries != delivery.counts.retries:
                self.starts.append(self.clock())
            self.placed[delivery.id] = delivery.counts.retries
        elif answer.startswith("taken:"):
            assert answer.removeprefix("taken:") in self.stands
            self.settle(delivery.id, "end", leaves=True)
        else:
            assert answer == "held"
            del self.given[delivery.id]

    @precondition(lambda self: self.given)
    @rule(
        data=st.data(), kind=st.sampled_from(("end", "end", "dead", "retry", "park", "release")), leaves=st.booleans()
    )
    def settle_one(self, data: st.DataObject, kind: Kind, leaves: bool) -> None:
        self.settle(data.draw(st.sampled_from(sorted(self.given))), kind, leaves)

    def settle(self, job_id: str, kind: Kind, leaves: bool) -> None:
        """Settle a delivery; whoever does not leave has died in between."""
        given = self.given.pop(job_id)
        counts = Counts(retries=given.delivery.counts.retries + 1) if kind == "retry" else None
        delay = 1.7 * (len(job_id) % 2)
        settlement = Settlement(given.delivery, kind, b"record", TTL, delay=delay, counts=counts, task=TASK)
        assert self.run(self.broker.settle(given.session, [settlement])) == [True]
        limit, _ = self.stands[job_id]
        if leaves and limit is not None:
            self.run(self.limiter.leave([(QUEUE, limit, job_id)]))

    @rule()
    def lose_the_session(self) -> None:
        started = tuple(each.delivery.id for each in self.given.values() if each.runs)
        while (step := self.run(self.broker.reclaim([QUEUE], LEASE, [Ended(self.session, started)]))).returned:
            assert step.returned <= 200
        self.given.clear()
        self.session = self.open()

    @rule()
    def reclaim(self) -> None:
        self.run(self.broker.reclaim([QUEUE], LEASE))

    @rule()
    def unpark(self) -> None:
        self.run(self.broker.unpark([QUEUE], [TASK]))

    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        assert isinstance(self.broker, JobHolder)
        job_id = data.draw(st.sampled_from(sorted(self.stands)))
        store, session = self.broker.job_store, new_session()
        (told,) = self.run(store.arevoke(session, [(job_id, QUEUE)], LEASE))
        if told.delivery is not None:
            self.run(store.aend(session, [Settlement(told.delivery, "end", b"revoked", TTL)]))

    @rule(steps=st.integers(1, 3))
    def let_time_pass(self, steps: int) -> None:
        self.clock.advance(steps * STEP)
        self.run(self.broker.heartbeat([Beat(self.session)], [QUEUE], LEASE))

    # --- what must hold

    @invariant()
    def no_more_run_than_may(self) -> None:
        running = [self.stands[job_id] for job_id, each in self.given.items() if each.runs]
        numbers = Counter(limit.key for limit, _ in running if limit is not None)
        for limit in LIMITS:
            if limit is None:
                continue
            # What was released under one of them may run under the next.
            most = [pace.concurrency for pace in (limit.pace, *self.paces)]
            assert not all(most) or numbers[limit.key] <= max(most)
        keys = Counter(unique.key for _, unique in running if unique is not None and unique.scope == "done")
        assert max(keys.values(), default=0) <= 1

    @invariant()
    def no_more_start_than_may(self) -> None:
        interval = min((2.0, *(pace.interval for pace in self.paces)))
        for index, first in enumerate(self.starts if interval else ()):
            # The first one, one that was released long before it started, one that is made up for, and one a pace.
            allowed = 3 + len(self.paces) + (self.clock() - first) / interval
            assert len(self.starts) - index <= allowed + 0.01

    def go_on(self) -> None:
        """Work until nothing is left."""
        self.lose_the_session()
        for _ in range(ROUNDS):
            self.unpark()
            self.work(6, repeat=False)
            for job_id in sorted(self.given):
                self.settle(job_id, "end", leaves=True)
            self.no_more_start_than_may()
            if not self.left():
                break
            self.clock.advance(3 * STEP)
            self.reclaim()
        assert self.left() == 0
        self.adjust(None)
        self.clock.advance(STEP)
        self.reclaim()
        assert self.run(self.limiter.alimits(QUEUE, "", 100)) == []

    def left(self) -> int:
        """How many jobs have not ended."""
        assert isinstance(self.broker, Inspector)
        (counts,) = self.run(self.broker.counts([QUEUE]))
        return counts.ready + counts.delayed + counts.held + counts.running + counts.parked
