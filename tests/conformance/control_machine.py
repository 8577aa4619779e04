"""The machine of `machine`, with the verbs of single jobs among the others: revoke, end, pause, revive, note."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.conformance.machine import LEASE, QUEUES, RECENT, BrokerMachine, Pair
from umbel.contracts.broker import Ended, Kind, SessionDead, Settlement
from umbel.contracts.jobs import WAITING, JobHolder, JobStore, Listed, Revoked
from umbel.contracts.powers import Inspector
from umbel.model.ids import new_session
from umbel.model.job import Delivery, Doom, Job
from umbel.states import Place

LISTED: tuple[tuple[Place, ...], ...] = (("ready", "delayed"), ("running",), ("parked",), ("dead",))
"""Places of which the lists are compared; whether a due job is still called delayed is the engine's affair."""
RECORD = b"revoked"
TTL = 1e6


class Revoker(NamedTuple):
    """A session that revoked jobs over one client, and what it was given."""

    session: str
    client: int
    pairs: list[Pair]


class ControlMachine(BrokerMachine):
    """Subclass it and write the hooks of `BrokerMachine`."""

    def __init__(self) -> None:
        super().__init__()
        self.revokers: list[Revoker] = []

    def job_stores(self, client: int) -> tuple[JobStore, JobStore]:
        """The single jobs of the broker under test, and of the model."""
        real, model = self.clients[client]
        assert isinstance(real, JobHolder)
        return real.job_store, model.job_store

    # --- revoked

    @rule(data=st.data(), anywhere=st.booleans(), client=st.integers(0, 1))
    def revoke(self, data: st.DataObject, anywhere: bool, client: int) -> None:
        jobs = data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=4, unique_by=lambda job: job.id))
        keys = [(job.id, None if anywhere else job.queue) for job in jobs]
        session = new_session()
        real, model = (self.run(each.arevoke(session, keys, LEASE)) for each in self.job_stores(client))
        assert [_told(each) for each in real] == [_told(each) for each in model]
        deliveries = [(one.delivery, two.delivery) for one, two in zip(real, model, strict=True)]
        self.keep(session, client, [(one, two) for one, two in deliveries if one is not None and two is not None])

    @rule(queue=st.sampled_from(QUEUES), client=st.integers(0, 1))
    def purge(self, queue: str, client: int) -> None:
        session = new_session()
        real, model = (self.run(each.apurge(session, queue, 1000, LEASE)) for each in self.job_stores(client))
        pairs = list(zip(sorted(real, key=_id), sorted(model, key=_id), strict=True))
        assert [_given(one) for one, _ in pairs] == [_given(two) for _, two in pairs]
        self.keep(session, client, pairs)

    def keep(self, session: str, client: int, deliveries: list[tuple[Delivery, Delivery]]) -> None:
        """Keep what a session was given: it may be settled, ended, or never be heard of again."""
        pairs = [Pair(session, *each) for each in deliveries]
        if pairs:
            self.revokers.append(Revoker(session, client, pairs))

    @precondition(lambda self: self.revokers)
    @rule(data=st.data(), kind=st.sampled_from(("end", "end", "dead", "release", "retry")))
    def end_what_was_revoked(self, data: st.DataObject, kind: Kind) -> None:
        revoker = data.draw(st.sampled_from(self.revokers[-RECENT:]))
        pairs = data.draw(st.lists(st.sampled_from(revoker.pairs + self.pairs[-1:]), unique=True, max_size=4))
        real, model = self.job_stores(revoker.client)
        first = [Settlement(each.real, kind, RECORD, TTL, delay=5.9) for each in pairs]
        second = [Settlement(each.model, kind, RECORD, TTL, delay=5.9) for each in pairs]
        assert self.run(real.aend(revoker.session, first)) == self.run(model.aend(revoker.session, second))

    @precondition(lambda self: self.revokers)
    @rule(data=st.data())
    def revoke_with_an_old_session(self, data: st.DataObject) -> None:
        """A repeat; and whoever was declared dead, or has ended, is given nothing that waits."""
        revoker = data.draw(st.sampled_from(self.revokers))
        waiting = [job for job in self.sent if self.clients[0][1].locate(job.id, None).place in ("ready", "parked")]
        job = data.draw(st.sampled_from(waiting + [each.real for each in revoker.pairs]))
        answers = [self.run(_again(each, revoker.session, job)) for each in self.job_stores(revoker.client)]
        assert answers[0] == answers[1]

    # --- doomed by the supervisor

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), doom=st.sampled_from(("timeout", "memory")), started=st.booleans())
    def end_for_the_sake_of_a_job(self, data: st.DataObject, doom: Doom, started: bool) -> None:
        pair = data.draw(st.sampled_from(self.pairs[-RECENT:]))
        ended = Ended(pair.session, (pair.real.id,) if started else (), ((pair.real.id, doom),))
        self.reclaim_both(QUEUES, [ended])
        self.open(0, QUEUES)
        self.take(self.sessions[-1][0], pair.real.queue, 4)

    # --- paused, dead, noted of

    @rule(queue=st.sampled_from(QUEUES), paused=st.booleans(), client=st.integers(0, 1))
    def pause(self, queue: str, paused: bool, client: int) -> None:
        for each in self.job_stores(client):
            self.run(each.apause(queue, paused=paused))
        real, model = (self.run(each.apaused(QUEUES)) for each in self.job_stores(0))
        assert real == model

    @rule(data=st.data(), queue=st.sampled_from(QUEUES), discard=st.booleans())
    def revive(self, data: st.DataObject, queue: str, discard: bool) -> None:
        jobs = data.draw(st.lists(st.sampled_from(self.sent), min_size=1, max_size=4, unique_by=lambda job: job.id))
        dead = [job for job in self.sent if job.id in self.space.queue(queue).dead]
        names = [job.id for job in jobs + dead[:2]]
        calls = [each.adiscard if discard else each.arevive for each in self.job_stores(0)]
        real, model = (self.run(call(queue, names)) for call in calls)
        assert real == model

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), note=st.binary(min_size=1, max_size=3))
    def note(self, data: st.DataObject, note: bytes) -> None:
        pair = data.draw(st.sampled_from(self.pairs[-RECENT:]))
        real, model = self.job_stores(dict(self.sessions)[pair.session])
        assert self.run(real.note(pair.session, [(pair.real, note)])) == self.run(
            model.note(pair.session, [(pair.model, note)])
        )

    # --- what can be seen from outside

    @rule(queue=st.sampled_from(QUEUES))
    def look_closer(self, queue: str) -> None:
        """Lists, dooms and notes agree."""
        for places in LISTED:
            real, model = (self.listed(each, queue, places) for each in self.job_stores(0))
            assert real == model
        for job in self.sent[-8:]:
            first, second = (_located(each, job.id) for each in (self.inspector(), self.clients[0][1]))
            assert first == second

    def listed(self, store: JobStore, queue: str, places: tuple[Place, ...]) -> list[tuple[object, ...]]:
        """All jobs of *places*, in the order of their ids."""
        return sorted(_shown(each) for place in places for each in self.pages(store, queue, place))

    def pages(self, store: JobStore, queue: str, place: Place) -> list[Listed]:
        """All pages of one list."""
        found: list[Listed] = []
        while page := self.run(store.ajobs(queue, place, found[-1].cursor if found else "", 3)):
            found += page
        return found


async def _again(store: JobStore, session: str, job: Job | Delivery) -> tuple[object, ...] | None:
    try:
        return _told((await store.arevoke(session, [(job.id, job.queue)], LEASE))[0])
    except SessionDead:
        return None


def _told(revoked: Revoked) -> tuple[object, ...]:
    place = "waiting" if revoked.place in WAITING else revoked.place
    return revoked.id, place, None if revoked.delivery is None else _given(revoked.delivery)


def _shown(listed: Listed) -> tuple[object, ...]:
    return listed.id, listed.level, listed.envelope, repr(listed.counts), listed.session, listed.note, listed.task


def _located(inspector: Inspector, job_id: str) -> tuple[object, ...]:
    found = inspector.locate(job_id, None)
    place = "waiting" if found.place in ("ready", "delayed") else found.place
    return place, found.retries, found.doom, found.note


def _given(delivery: Delivery) -> tuple[object, ...]:
    return delivery.id, delivery.queue, delivery.level, delivery.number, delivery.envelope, delivery.counts


def _id(delivery: Delivery) -> str:
    return delivery.id
