"""A broker against the model: any sequence of verbs, by living and dead callers, must be answered as memory does it.

What a contract leaves open the model follows: which of several equally urgent jobs is handed out first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Broker, Ended, Kind, SessionDead, Settlement
from umbel.contracts.powers import Inspector, QueueCounts, ResultStore
from umbel.engines.memory import Space
from umbel.model.ids import new_session
from umbel.model.job import Counts, Delivery, Job
from umbel.stores.memory import MemoryStore
from umbel.testing import Clock

T = TypeVar("T")

QUEUES = ("model", "model-other")
TASKS = ("task", "other task")
LEASE = 10.0
STEP = 2.3  # never a multiple of a lease or a delay, so nothing depends on < or <=
LONG = 1e6
CLIENTS = 2
RECENT = 6


class Pair(NamedTuple):
    """One delivery as the broker under test and as the model handed it out."""

    session: str
    real: Delivery
    model: Delivery


class BrokerMachine(RuleBasedStateMachine):
    """Subclass it and write the hooks; `TestCase` of the subclass is what pytest runs."""

    def make(self, clock: Callable[[], float]) -> Broker:
        """One client of the engine under test; empty when the machine starts."""
        raise NotImplementedError

    def make_store(self, clock: Callable[[], float]) -> ResultStore:
        """The store with the records that the broker writes."""
        raise NotImplementedError

    def inspector(self) -> Inspector:
        """The engine under test, as an inspector."""
        return cast(Inspector, self.clients[0][0])

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock(1_750_000_000.0)
        self.space = Space()
        self.clients = [(self.make(self.clock), MemoryBroker(self.space, self.clock)) for _ in range(CLIENTS)]
        self.stores = (self.make_store(self.clock), MemoryStore(self.space, self.clock))
        self.sent: list[Job] = []
        self.sessions: list[tuple[str, int]] = []
        self.pairs: list[Pair] = []
        self.settled: list[tuple[str, list[Settlement], list[Settlement]]] = []

    def teardown(self) -> None:
        """Close what was opened."""
        for real, _ in self.clients:
            self.run(real.aclose())
            real.close()
        self.run(self.stores[0].aclose())
        self.stores[0].close()
        self.runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one call in the machine's own loop."""
        return self.runner.run(coroutine)

    def both(self, client: int, call: Callable[[Broker], Coroutine[Any, Any, T]]) -> tuple[T | None, T | None]:
        """Make the same call to both; None stands for a dead session. Both answer or neither does."""
        answers = [self.run(_answer(call, broker)) for broker in self.clients[client]]
        assert (answers[0] is None) == (answers[1] is None)
        return answers[0], answers[1]

    # --- sending

    @initialize()
    def begin(self) -> None:
        """One session always beats, so that the passing of time is never taken for an outage."""
        self.keeper = new_session()
        self.both(0, lambda broker: broker.heartbeat([Beat(self.keeper)], QUEUES, LEASE, opening=True))
        self.open(0, QUEUES)
        self.send(QUEUES[0], 4, 0, 0.0, 0)
        self.take(self.sessions[0][0], QUEUES[0], 2)

    @rule(
        queue=st.sampled_from(QUEUES),
        count=st.integers(1, 4),
        priority=st.sampled_from((0, 0, 5, 9)),
        delay=st.sampled_from((0.0, 0.0, 1.7, 5.9, 47.3)),
        client=st.integers(0, CLIENTS - 1),
    )
    def send(self, queue: str, count: int, priority: int, delay: float, client: int) -> None:
        jobs = [self.new_job(queue, priority, delay) for _ in range(count)]
        self.both(client, lambda broker: broker.asend(jobs))

    def new_job(self, queue: str, priority: int = 0, delay: float = 0.0) -> Job:
        """A job that was never sent."""
        number = len(self.sent)
        job = Job(f"job-{number}", queue, b"envelope %d" % number, priority, delay)
        self.sent.append(job)
        return job

    @rule(data=st.data(), client=st.integers(0, CLIENTS - 1))
    def send_again(self, data: st.DataObject, client: int) -> None:
        jobs = data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=3))
        self.both(client, lambda broker: broker.asend(jobs))

    # --- sessions and time

    @rule(client=st.integers(0, CLIENTS - 1), queues=st.sampled_from((QUEUES, QUEUES[:1])))
    def open(self, client: int, queues: Sequence[str]) -> None:
        session = new_session()
        opened = self.both(client, lambda broker: broker.heartbeat([Beat(session)], queues, LEASE, opening=True))
        assert opened == ([True], [True])
        self.sessions.append((session, client))

    @rule(data=st.data(), opening=st.booleans())
    def beat(self, data: st.DataObject, opening: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.sessions), min_size=1, max_size=3, unique=True))
        beats = [Beat(session, b"info") for session, _ in chosen]
        real, model = self.both(0, lambda broker: broker.heartbeat(beats, QUEUES[:1], LEASE, opening=opening))
        assert real == model

    @rule(steps=st.sampled_from((1, 1, 2, 6)))
    def let_time_pass(self, steps: int) -> None:
        for _ in range(steps):
            self.clock.advance(STEP)
            answers = self.both(0, lambda broker: broker.heartbeat([Beat(self.keeper)], QUEUES, LEASE))
            assert answers == ([True], [True])

    # --- receiving

    @rule(data=st.data(), queue=st.sampled_from(QUEUES), limit=st.integers(1, 4), lost=st.booleans())
    def receive(self, data: st.DataObject, queue: str, limit: int, lost: bool) -> None:
        pairs = self.take(data.draw(st.sampled_from(self.sessions))[0], queue, limit)
        if lost:
            self.pairs = self.pairs[: len(self.pairs) - len(pairs)]

    def take(self, session: str, queue: str, limit: int) -> list[Pair]:
        """Receive from both; the model hands out the same jobs."""
        real_broker, model_broker = self.clients[dict(self.sessions)[session]]
        real = self.run(_answer(lambda broker: broker.receive(session, [queue], limit, wait=0), real_broker))
        self.follow(queue, real or [])
        model = self.run(_answer(lambda broker: broker.receive(session, [queue], limit, wait=0), model_broker))
        assert (real is None) == (model is None)
        assert len(real or ()) == len(model or ())
        pairs = [Pair(session, *each) for each in zip(real or (), model or (), strict=True)]
        for pair in pairs:
            assert _seen(pair.real) == _seen(pair.model)
        self.pairs += pairs
        return pairs

    def follow(self, queue: str, deliveries: Sequence[Delivery]) -> None:
        """Let the model hand out these jobs before others of their levels."""
        found = self.space.queue(queue)
        found.promote(self.clock(), len(self.sent))
        for each in reversed(deliveries):
            assert each.id in found.ready[each.level], "handed out, but not ready at that level"
            found.ready[each.level].remove(each.id)
            found.ready[each.level].appendleft(each.id)

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), kind=st.sampled_from(("release", "retry")))
    def turn_over(self, data: st.DataObject, kind: Kind) -> None:
        """Give a job back and take it again: from now on its first delivery is stale."""
        pair = data.draw(st.sampled_from(self.pairs[-RECENT:]))
        self.carry_out(pair.session, [Settlement(pair.real, kind)], [Settlement(pair.model, kind)])
        self.take(pair.session, pair.real.queue, 4)

    @rule(data=st.data())
    def reconcile(self, data: st.DataObject) -> None:
        session, client = data.draw(st.sampled_from(self.sessions))
        own = [pair for pair in self.pairs if pair.session == session]
        listed = data.draw(st.lists(st.sampled_from(own), unique=True)) if own else []
        real_broker, model_broker = self.clients[client]
        held = [pair.real for pair in listed]
        real = self.run(_answer(lambda broker: broker.reconcile(session, QUEUES, held), real_broker))
        held = [pair.model for pair in listed]
        model = self.run(_answer(lambda broker: broker.reconcile(session, QUEUES, held), model_broker))
        assert real == model

    # --- settling

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), stranger=st.booleans())
    def settle(self, data: st.DataObject, stranger: bool) -> None:
        """Settle old and new deliveries of one session, or of another one's by it."""
        session = data.draw(st.sampled_from(self.pairs[-RECENT:])).session
        own = [pair for pair in self.pairs if pair.session == session][-RECENT:]
        real: list[Settlement] = []
        model: list[Settlement] = []
        for pair in data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=4)):
            fields = data.draw(self.verdicts())
            real.append(Settlement(pair.real, **fields))
            model.append(Settlement(pair.model, **fields))
        by = data.draw(st.sampled_from(self.sessions))[0] if stranger else session
        self.carry_out(by, real, model)
        self.settled.append((by, real, model))

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        self.carry_out(*data.draw(st.sampled_from(self.settled)))

    def carry_out(self, session: str, real: list[Settlement], model: list[Settlement]) -> None:
        """Settle on both; the answers must agree item by item."""
        client = dict(self.sessions)[session]
        real_broker, model_broker = self.clients[client]
        assert self.run(real_broker.settle(session, real)) == self.run(model_broker.settle(session, model))

    def verdicts(self) -> st.SearchStrategy[dict[str, Any]]:
        """What may be said about one delivery."""
        follow_up = st.builds(lambda queue, delay: self.new_job(queue, 5, delay), st.sampled_from(QUEUES), delays)
        follow_ups = st.lists(follow_up | st.sampled_from(self.sent), max_size=2).map(tuple)
        record = st.sampled_from((b"", b"record", b"other record"))
        counts = st.builds(Counts, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
        return st.one_of(
            st.fixed_dictionaries(
                {
                    "kind": st.just("end") | st.just("dead"),
                    "record": record,
                    "ttl": st.just(LONG),
                    "follow_ups": follow_ups,
                }
            ),
            st.fixed_dictionaries(
                {
                    "kind": st.just("retry"),
                    "delay": delays,
                    "counts": counts,
                    "envelope": st.just(b"") | st.just(b"new"),
                }
            ),
            st.fixed_dictionaries({"kind": st.just("release")}),
            st.fixed_dictionaries({"kind": st.just("park"), "task": st.sampled_from(TASKS)}),
        )

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def end_and_send_again(self, data: st.DataObject) -> None:
        """A job that has ended is not accepted again."""
        pair = data.draw(st.sampled_from(self.pairs[-RECENT:]))
        ends = [Settlement(each, "end", b"record", LONG) for each in (pair.real, pair.model)]
        self.carry_out(pair.session, ends[:1], ends[1:])
        again = [Job(pair.real.id, pair.real.queue, b"again")]
        self.both(0, lambda broker: broker.asend(again))
        self.look()

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def mark(self, data: st.DataObject) -> None:
        self.mark_one(data.draw(st.sampled_from(self.pairs)))

    def mark_one(self, pair: Pair) -> None:
        """Mark on both."""
        real_broker, model_broker = self.clients[dict(self.sessions)[pair.session]]
        real = self.run(real_broker.mark(pair.session, pair.real))
        assert real == self.run(model_broker.mark(pair.session, pair.model))

    # --- recovery

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), marked=st.booleans(), lapses=st.booleans(), client=st.integers(0, CLIENTS - 1))
    def die(self, data: st.DataObject, marked: bool, lapses: bool, client: int) -> None:
        """A holder lapses, or is seen to die; another session takes over."""
        pair = data.draw(st.sampled_from(self.pairs[-RECENT:]))
        if marked:
            self.mark_one(pair)
        if lapses:
            self.let_time_pass(6)
        self.reclaim_both(QUEUES, [] if lapses else [Ended(pair.session, (pair.real.id,))])
        self.open(client, QUEUES)
        self.take(self.sessions[-1][0], pair.real.queue, 4)

    @rule(data=st.data(), queues=st.sampled_from((QUEUES, QUEUES[:1], QUEUES[1:])))
    def reclaim(self, data: st.DataObject, queues: Sequence[str]) -> None:
        jobs = st.lists(st.sampled_from(self.sent), max_size=4).map(_ids)
        sessions = data.draw(st.lists(st.sampled_from(self.sessions), max_size=2, unique=True))
        self.reclaim_both(queues, [Ended(session, data.draw(jobs)) for session, _ in sessions])

    def reclaim_both(self, queues: Sequence[str], ended: Sequence[Ended]) -> None:
        """Reclaim on both until nothing moves; as many jobs must have returned."""
        sums = [self.run(_reclaim_all(broker, queues, ended)) for broker in self.clients[0]]
        assert sums[0] == sums[1]

    @rule(queues=st.sampled_from((QUEUES, QUEUES[:1])), tasks=st.sampled_from((TASKS, TASKS[:1], ())))
    def unpark(self, queues: Sequence[str], tasks: Sequence[str]) -> None:
        real, model = self.both(0, lambda broker: broker.unpark(queues, tasks))
        assert real == model

    # --- what can be seen from outside

    @rule()
    def look(self) -> None:
        """Counts and records agree; whether a due job is still called delayed is the engine's affair."""
        inspectors = (self.inspector(), self.clients[0][1])
        real, model = ([_counted(each) for each in self.run(inspector.counts(QUEUES))] for inspector in inspectors)
        assert real == model
        for job in self.sent[-8:]:
            first, second = (self.run(store.afetch(job.id, job.queue)) for store in self.stores)
            assert first == second


delays = st.sampled_from((0.0, 0.0, 1.7, 5.9))


async def _answer(call: Callable[[Broker], Coroutine[Any, Any, T]], broker: Broker) -> T | None:
    try:
        return await call(broker)
    except SessionDead:
        return None


async def _reclaim_all(broker: Broker, queues: Sequence[str], ended: Sequence[Ended]) -> int:
    returned = 0
    while True:
        step = await broker.reclaim(queues, LEASE, ended)
        returned += step.returned
        if not step.promoted + step.returned:
            return returned


def _counted(counts: QueueCounts) -> tuple[int, int, int, int]:
    return counts.ready + counts.delayed, counts.running, counts.parked, counts.dead


def _ids(jobs: Sequence[Job]) -> tuple[str, ...]:
    return tuple(job.id for job in jobs)


def _seen(delivery: Delivery) -> tuple[str, str, int, bytes, Counts, bool]:
    return delivery.id, delivery.queue, delivery.level, delivery.envelope, delivery.counts, delivery.returned
