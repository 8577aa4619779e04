"""The whole specification of limits: every part of it, to be subclassed as one."""

from __future__ import annotations

from umbel.testing.conformance.admitting import AdmittingConformance, HeldConformance, LengthConformance
from umbel.testing.conformance.concurrency import EnteringConformance, PlaceConformance
from umbel.testing.conformance.crowding import CrowdingConformance
from umbel.testing.conformance.rates import AdjustingConformance, RateConformance, RateWaitingConformance
from umbel.testing.conformance.turns import TurnConformance
from umbel.testing.conformance.uniqueness import UniqueConformance, UniqueForSecondsConformance


class LimitingConformance(
    AdmittingConformance,
    LengthConformance,
    HeldConformance,
    EnteringConformance,
    PlaceConformance,
    CrowdingConformance,
    RateConformance,
    RateWaitingConformance,
    AdjustingConformance,
    TurnConformance,
    UniqueConformance,
    UniqueForSecondsConformance,
):
    """All of the power `LimitStore`. The hooks are ``make(clock)`` and ``make_store(clock)``, see `JobStage`."""
