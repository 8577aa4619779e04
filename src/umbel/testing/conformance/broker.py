"""The whole specification of a broker: every part of it, to be subclassed as one."""

from __future__ import annotations

from umbel.testing.conformance.limits import LimitConformance
from umbel.testing.conformance.receiving import ReceivingConformance
from umbel.testing.conformance.reclaiming import ReclaimingConformance
from umbel.testing.conformance.reconciling import ReconcilingConformance
from umbel.testing.conformance.sending import SendingConformance
from umbel.testing.conformance.sessions import SessionConformance
from umbel.testing.conformance.settling import SettlingConformance
from umbel.testing.conformance.waiting import WaitingConformance


class BrokerConformance(
    SendingConformance,
    ReceivingConformance,
    WaitingConformance,
    SessionConformance,
    SettlingConformance,
    ReconcilingConformance,
    ReclaimingConformance,
    LimitConformance,
):
    """What every broker guarantees. The hook is ``make(clock)``, see `BrokerStage.make`."""
