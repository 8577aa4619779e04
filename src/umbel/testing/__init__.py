"""For tests: of programs that use Umbel, and of engines that others write. Needs pytest only where it says so."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from umbel.testing.capturing import Captured, capture
    from umbel.testing.clock import Clock
    from umbel.testing.conformance import (
        BrokerConformance,
        CarrierConformance,
        InspectorConformance,
        LeaseConformance,
        RecordConformance,
        ResendConformance,
        ResultStoreConformance,
        SightConformance,
    )
    from umbel.testing.faults import FailBefore, LoseReplies, ReplyLost, every_other, one_in
    from umbel.testing.in_place import eager
    from umbel.testing.patience import Patient
    from umbel.testing.proxy import Proxy
    from umbel.testing.recorder import Sent
    from umbel.testing.thread_worker import start_worker, worker
    from umbel.testing.virtual_time import VirtualClock, virtual

__all__ = [
    "BrokerConformance",
    "Captured",
    "CarrierConformance",
    "Clock",
    "FailBefore",
    "InspectorConformance",
    "LeaseConformance",
    "LoseReplies",
    "Patient",
    "Proxy",
    "RecordConformance",
    "ReplyLost",
    "ResendConformance",
    "ResultStoreConformance",
    "Sent",
    "SightConformance",
    "VirtualClock",
    "capture",
    "eager",
    "every_other",
    "one_in",
    "start_worker",
    "virtual",
    "worker",
]

_HOMES: Final = {
    "Captured": "umbel.testing.capturing",
    "Clock": "umbel.testing.clock",
    "FailBefore": "umbel.testing.faults",
    "LoseReplies": "umbel.testing.faults",
    "Patient": "umbel.testing.patience",
    "Proxy": "umbel.testing.proxy",
    "ReplyLost": "umbel.testing.faults",
    "Sent": "umbel.testing.recorder",
    "VirtualClock": "umbel.testing.virtual_time",
    "capture": "umbel.testing.capturing",
    "eager": "umbel.testing.in_place",
    "every_other": "umbel.testing.faults",
    "one_in": "umbel.testing.faults",
    "start_worker": "umbel.testing.thread_worker",
    "virtual": "umbel.testing.virtual_time",
    "worker": "umbel.testing.thread_worker",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Late: the suites import pytest, which a program that only wants the clock may not have.
    return getattr(import_module(_HOMES.get(name, "umbel.testing.conformance")), name)
