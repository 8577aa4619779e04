"""The specification through faults: calls that never arrive, and calls whose answers get lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Broker
from umbel.engines.memory import Space
from umbel.exceptions import BrokerUnavailable
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.stores.memory import MemoryStore
from umbel.testing import BrokerConformance, FailBefore, LoseReplies, RecordConformance, ReplyLost
from umbel.testing.conformance.receiving import ReceivingConformance
from umbel.testing.conformance.reclaiming import ReclaimingConformance
from umbel.testing.conformance.reconciling import ReconcilingConformance
from umbel.testing.conformance.sessions import SessionConformance
from umbel.testing.conformance.settling import SettlingConformance
from umbel.testing.conformance.waiting import WaitingConformance
from umbel.testing.faults import VERBS, every_other
from umbel.testing.patience import Patient


class Faulty:
    """The first client meets faults and a caller who bears them; further clients of the same test do not."""

    space: Space

    @pytest.fixture(autouse=True)
    def _empty(self) -> None:
        self.space = Space()
        self.made = 0

    def fault(self, broker: Broker) -> Broker:
        raise NotImplementedError

    def make(self, clock: Callable[[], float]) -> Broker:
        self.made += 1
        broker = MemoryBroker(self.space, clock)
        return broker if self.made > 1 else Patient(self.fault(broker))

    def make_store(self, clock: Callable[[], float]) -> MemoryStore:
        return MemoryStore(self.space, clock)


class LosingAnswers(Faulty):
    def fault(self, broker: Broker) -> Broker:
        return LoseReplies(broker, every_other(*(verb for verb in VERBS if verb not in ("receive", "reclaim"))))


class LosingDeliveries(Faulty):
    def fault(self, broker: Broker) -> Broker:
        return LoseReplies(broker, every_other("receive", "reclaim"))


class Failing(Faulty):
    def fault(self, broker: Broker) -> Broker:
        return FailBefore(broker, every_other())


class TestFailingBroker(Failing, BrokerConformance):
    pass


class TestFailingRecords(Failing, RecordConformance):
    pass


class TestBrokerThatLosesAnswers(LosingAnswers, BrokerConformance):
    pass


class TestRecordsThatLoseAnswers(LosingAnswers, RecordConformance):
    pass


class TestBrokerThatLosesDeliveries(
    LosingDeliveries,
    ReceivingConformance,
    WaitingConformance,
    SessionConformance,
    SettlingConformance,
    ReconcilingConformance,
    ReclaimingConformance,
):
    """All but what a repeat rightly changes: a second delivery is called returned, a second reclaim moves more."""


class TestRecordsThatLoseDeliveries(LosingDeliveries, RecordConformance):
    pass


# --- the faults themselves


async def test_a_call_that_fails_before_does_nothing() -> None:
    space = Space()
    broker = FailBefore(MemoryBroker(space), lambda verb: verb == "send")
    with pytest.raises(BrokerUnavailable):
        broker.send([Job("job", "queue", b"")])
    with pytest.raises(BrokerUnavailable):
        await broker.asend([Job("job", "queue", b"")])
    assert not space.queues


async def test_a_call_whose_answer_is_lost_was_carried_out() -> None:
    space = Space()
    broker = LoseReplies(MemoryBroker(space), lambda verb: verb == "receive")
    await broker.asend([Job("job", "queue", b"")])
    session = new_session()
    assert await broker.heartbeat([Beat(session)], ["queue"], 10.0, opening=True) == [True]
    with pytest.raises(ReplyLost) as lost:
        await broker.receive(session, ["queue"], 1, wait=0)
    assert [each.id for each in lost.value.answer] == ["job"]
    assert list(space.queue("queue").sessions[session].held) == ["job"]


def test_every_other_call_of_a_verb_goes_wrong() -> None:
    fails = every_other("settle")
    assert [fails("settle") for _ in range(4)] == [True, False, True, False]
    assert not fails("send")
