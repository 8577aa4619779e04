"""Whose time limits count."""

from __future__ import annotations

import pytest

from tests.unit.execution.stage import Stage
from umbel.execution.limits import Limits, Terms


@pytest.mark.parametrize(
    ("usual", "task", "call", "found"),
    [
        (Limits(), {}, {}, None),
        (Limits(8.0, 9.0), {}, {}, Limits(8.0, 9.0)),
        (Limits(8.0, 9.0), {"time_limit": 5}, {}, Limits(8.0, 5.0)),
        (Limits(8.0, 9.0), {"soft_time_limit": 4, "time_limit": 5}, {"time_limit": 7}, Limits(4.0, 7.0)),
        (Limits(), {}, {"soft_time_limit": 1}, Limits(1.0, None)),
    ],
)
def test_the_call_beats_the_task_and_the_task_beats_the_worker(
    usual: Limits, task: dict[str, float], call: dict[str, float], found: Limits | None
) -> None:
    stage = Stage()
    run = stage.prepared(stage.task(lambda: 1, asynchronous=False, **task), **call)
    assert Terms(usual).of(run.envelope, run.task) == found


def test_a_task_that_is_not_known_has_the_limits_of_its_call_and_the_worker() -> None:
    stage = Stage()
    run = stage.prepared(stage.task(lambda: 1, asynchronous=False), soft_time_limit=3)
    assert Terms(Limits(None, 9.0)).of(run.envelope, None) == Limits(3.0, 9.0)
