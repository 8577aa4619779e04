"""The specification of every engine: behaviour tests whose names are the guarantees in English. Needs pytest.

Subclass a suite as ``class TestMine(BrokerConformance)`` and write its hook. A suite names the `power` that an engine
must declare to be asked it; a power that an engine lacks is a missing subclass, never a skipped test. The tests are
`async`: run them with pytest-asyncio in its auto mode.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

# So that a failed assert of a suite shows its values; before the first import of each.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from umbel.testing.conformance.ageing import AgeingConformance  # noqa: E402
from umbel.testing.conformance.broker import BrokerConformance, CarrierConformance, LeaseConformance  # noqa: E402
from umbel.testing.conformance.event_log import EventLogConformance  # noqa: E402
from umbel.testing.conformance.flows import FlowConformance  # noqa: E402
from umbel.testing.conformance.inspector import InspectorConformance, SightConformance  # noqa: E402
from umbel.testing.conformance.jobs import JobConformance  # noqa: E402
from umbel.testing.conformance.limiting import LimitingConformance  # noqa: E402
from umbel.testing.conformance.mailbox import MailboxConformance  # noqa: E402
from umbel.testing.conformance.marking import MarkingConformance  # noqa: E402
from umbel.testing.conformance.records import RecordConformance  # noqa: E402
from umbel.testing.conformance.resending import ResendConformance  # noqa: E402
from umbel.testing.conformance.results import ResultStoreConformance  # noqa: E402

__all__ = [
    "AgeingConformance",
    "BrokerConformance",
    "CarrierConformance",
    "EventLogConformance",
    "FlowConformance",
    "InspectorConformance",
    "JobConformance",
    "LeaseConformance",
    "LimitingConformance",
    "MailboxConformance",
    "MarkingConformance",
    "RecordConformance",
    "ResendConformance",
    "ResultStoreConformance",
    "SightConformance",
]
