"""Each engine is asked exactly for the powers that it declares."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.conformance import (
    test_memory,
    test_postgres,
    test_rabbitmq,
    test_rabbitmq_alone,
    test_redis,
    test_redis_cluster,
    test_sqlite,
)
from umbel.contracts.capabilities import MEMORY, POSTGRES, RABBITMQ_ALONE, RABBITMQ_KEEPING, REDIS, SQLITE, Power
from umbel.testing.conformance import (
    AgeingConformance,
    BrokerConformance,
    EventLogConformance,
    FlowConformance,
    InspectorConformance,
    JobConformance,
    LimitingConformance,
    MailboxConformance,
    MarkingConformance,
    RecordConformance,
)
from umbel.testing.conformance.stage import BrokerStage

WHOLE = (
    AgeingConformance,
    BrokerConformance,
    EventLogConformance,
    FlowConformance,
    InspectorConformance,
    JobConformance,
    LimitingConformance,
    MailboxConformance,
    MarkingConformance,
    RecordConformance,
)
PARTS = [suite for whole in WHOLE for suite in whole.__mro__ if issubclass(suite, BrokerStage)]
ASKED = frozenset(suite.power for suite in PARTS if suite.power is not None)


@pytest.mark.parametrize(
    ("module", "declared"),
    [
        (test_memory, MEMORY),
        (test_sqlite, SQLITE),
        (test_redis, REDIS),
        (test_redis_cluster, REDIS),
        (test_postgres, POSTGRES),
        (test_rabbitmq, RABBITMQ_KEEPING),
        (test_rabbitmq_alone, RABBITMQ_ALONE),
    ],
)
def test_an_engine_is_asked_for_the_powers_that_it_declares_and_for_no_other(
    module: ModuleType, declared: frozenset[Power]
) -> None:
    suites = {suite for test in asked_in(module) for suite in test.__mro__ if issubclass(suite, BrokerStage)}
    assert {suite.power for suite in suites} & ASKED == declared & ASKED


def test_a_suite_says_for_itself_what_power_it_asks_for() -> None:
    silent = [each for each in PARTS if each.power is not None and "power" not in vars(each)]
    assert [each.__name__ for each in silent if any(name.startswith("test_") for name in vars(each))] == []


def asked_in(module: ModuleType) -> Iterator[type[BrokerStage]]:
    """The suites that *module* has an engine asked."""
    for name, value in vars(module).items():
        if name.startswith("Test") and inspect.isclass(value) and issubclass(value, BrokerStage):
            yield value
