"""Priorities that age, in a worker that is a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from umbel import Umbel
from umbel.brokers.memory import MemoryBroker
from umbel.contracts.capabilities import MEMORY, Power
from umbel.exceptions import ImproperlyConfigured
from umbel.testing import worker

SECONDS = 60.0
CHAINS = 5
MANY = 30
TASK_SECONDS = 0.015
"""So long that a worker takes none before it has a slot for it."""


def run(app: Umbel, on: Callable[[int], bool]) -> int:
    """How many urgent jobs start before one that is not; they go on, *on* of how many there were."""
    started, over = list[int](), threading.Event()

    @app.task(priority=2)
    def urgent() -> None:
        started.append(1)
        time.sleep(TASK_SECONDS)
        if on(len(started)) and not over.is_set():
            urgent.delay()

    @app.task()
    def old() -> int:
        over.set()
        return len(started)

    result = old.delay()
    for _ in range(CHAINS):
        urgent.delay()
    with worker(app):
        return int(result.get(timeout=SECONDS))


def test_a_job_under_a_steady_stream_of_urgent_ones_runs() -> None:
    app = Umbel("ageing", broker="memory://testing-ageing", set_as_current=False, task_priority_ageing=0.1)
    assert run(app, lambda _: True) >= CHAINS


def test_without_ageing_it_runs_when_all_the_others_are_over() -> None:
    app = Umbel("starving", broker="memory://testing-starving", set_as_current=False)
    assert run(app, lambda count: count < MANY) >= MANY + CHAINS - 1


def test_a_broker_that_cannot_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryBroker, "powers", MEMORY - {Power.AGEING})
    app = Umbel("unable", broker="memory://testing-unable", set_as_current=False, task_priority_ageing=60)
    with pytest.raises(ImproperlyConfigured, match="task_priority_ageing needs a broker that raises jobs"), worker(app):
        pass
