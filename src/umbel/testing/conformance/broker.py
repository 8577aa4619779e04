"""The whole specification of a broker: every part of it, to be subclassed as one."""

from __future__ import annotations

from umbel.testing.conformance.delays import DelayConformance, DuePortionConformance, DueTimeConformance
from umbel.testing.conformance.limits import LimitConformance
from umbel.testing.conformance.order import FrontConformance, PriorityConformance
from umbel.testing.conformance.receiving import ReceivingConformance
from umbel.testing.conformance.reclaiming import PortionConformance, ReclaimingConformance
from umbel.testing.conformance.reconciling import ReconcilingConformance
from umbel.testing.conformance.resending import FirstSendConformance, ResendConformance
from umbel.testing.conformance.sending import SendingConformance
from umbel.testing.conformance.sessions import SessionConformance
from umbel.testing.conformance.settling import SettlingConformance
from umbel.testing.conformance.waiting import DueWaitingConformance, ReturnWaitingConformance, WaitingConformance


class CarrierConformance(
    SendingConformance, ReceivingConformance, WaitingConformance, SettlingConformance, LimitConformance
):
    """What every broker guarantees, whatever its powers. The hook is ``make(clock)``, see `BrokerStage.make`."""


class LeaseConformance(
    SessionConformance, ReconcilingConformance, ReclaimingConformance, ReturnWaitingConformance, PortionConformance
):
    """What a broker guarantees that knows who runs a job."""


class BrokerConformance(
    CarrierConformance,
    LeaseConformance,
    ResendConformance,
    FirstSendConformance,
    DelayConformance,
    DueTimeConformance,
    DuePortionConformance,
    DueWaitingConformance,
    FrontConformance,
    PriorityConformance,
):
    """All that a broker can guarantee. One without some powers subclasses the parts that it can keep."""
