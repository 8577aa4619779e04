"""The specification through faults: calls that never arrive, and calls whose answers get lost."""

from __future__ import annotations

import pytest

from tests.conformance.test_memory import OnMemory
from tests.conformance.test_redis import OnOneServer
from tests.conformance.test_sqlite import OnOneFile
from umbel.brokers.memory import MemoryBroker
from umbel.contracts.broker import Beat, Broker
from umbel.engines.memory import Space
from umbel.exceptions import BrokerUnavailable
from umbel.model.ids import new_session
from umbel.model.job import Job
from umbel.testing import BrokerConformance, FailBefore, LoseReplies, RecordConformance, ReplyLost
from umbel.testing.conformance.delays import DelayConformance, DueTimeConformance
from umbel.testing.conformance.order import FrontConformance, PriorityConformance
from umbel.testing.conformance.receiving import ReceivingConformance
from umbel.testing.conformance.reclaiming import ReclaimingConformance
from umbel.testing.conformance.reconciling import ReconcilingConformance
from umbel.testing.conformance.sessions import SessionConformance
from umbel.testing.conformance.settling import SettlingConformance
from umbel.testing.conformance.stage import BrokerStage
from umbel.testing.conformance.waiting import DueWaitingConformance, ReturnWaitingConformance, WaitingConformance
from umbel.testing.faults import VERBS, every_other, one_in
from umbel.testing.patience import Patient


class LosingAnswers(BrokerStage):
    """The answers to whatever is repeated as it was."""

    def through(self, broker: Broker) -> Broker:
        verbs = (verb for verb in VERBS if verb not in ("receive", "reclaim"))
        return Patient(LoseReplies(broker, every_other(*verbs)))


class LosingDeliveries(BrokerStage):
    """The answers whose repeat does more. Not every second one: that would be in step with the turns of two queues."""

    def through(self, broker: Broker) -> Broker:
        return Patient(LoseReplies(broker, one_in(3, "receive", "reclaim")))


class Failing(BrokerStage):
    """Calls that do not arrive."""

    def through(self, broker: Broker) -> Broker:
        return Patient(FailBefore(broker, every_other()))


class UnderRepeats(
    ReceivingConformance,
    WaitingConformance,
    SettlingConformance,
    SessionConformance,
    ReconcilingConformance,
    ReclaimingConformance,
    ReturnWaitingConformance,
    DelayConformance,
    DueTimeConformance,
    DueWaitingConformance,
    FrontConformance,
    PriorityConformance,
):
    """All but what a repeat rightly changes: a second delivery is called returned, a second reclaim moves more."""


class TestFailingMemory(Failing, OnMemory, BrokerConformance):
    pass


class TestMemoryLosesAnswers(LosingAnswers, OnMemory, BrokerConformance):
    pass


class TestMemoryLosesAnswersAndRecords(LosingAnswers, OnMemory, RecordConformance):
    pass


class TestMemoryLosesDeliveries(LosingDeliveries, OnMemory, UnderRepeats):
    pass


class TestMemoryLosesDeliveriesAndRecords(LosingDeliveries, OnMemory, RecordConformance):
    pass


class TestSqliteLosesAnswers(LosingAnswers, OnOneFile, BrokerConformance):
    pass


class TestSqliteLosesDeliveries(LosingDeliveries, OnOneFile, UnderRepeats):
    pass


class TestRedisLosesAnswers(LosingAnswers, OnOneServer, BrokerConformance):
    pass


class TestRedisLosesDeliveries(LosingDeliveries, OnOneServer, UnderRepeats):
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


def test_one_in_three_calls_of_a_verb_goes_wrong() -> None:
    fails = one_in(3, "settle")
    assert [fails("settle") for _ in range(6)] == [True, False, False, True, False, False]
    assert not fails("send")
