"""Celery's groups, chords and chains, with the settings of `celery_app`; results in Redis, read by its native join.

Members are given as a list: from a generator a chord takes longer, the more the larger it is.
"""

import time
from collections.abc import Callable

from celery import chain as make_chain
from celery import chord as make_chord
from celery import group as make_group

from benchmarks.peers import celery_app
from benchmarks.peers.celery_app import app, open
from benchmarks.peers.terms import VALUE
from benchmarks.probe import stamped_hit

__all__ = ["app", "chain", "chord", "group", "open", "worker_command"]

SECONDS = 280  # to wait for a value


@app.task(name="member")
def member() -> int:
    """Count, note the moment and return."""
    stamped_hit()
    return VALUE


@app.task(name="step")
def step(number: int) -> int:
    """One more."""
    return number + 1


@app.task(name="body")
def body(values: list[int]) -> list[int]:
    """When the members were known, and the sum of their values."""
    return [time.monotonic_ns(), sum(values)]


def group(count: int) -> Callable[[], object]:
    """One ``group``."""
    result = make_group([member.s() for _ in range(count)]).apply_async()
    return lambda: sum(result.get(timeout=SECONDS))


def chord(count: int) -> Callable[[], object]:
    """One ``chord``."""
    result = make_chord([member.s() for _ in range(count)], body.s()).apply_async()
    return lambda: result.get(timeout=SECONDS)


def chain(count: int) -> Callable[[], object]:
    """One ``chain``."""
    result = make_chain(step.s(0), *(step.s() for _ in range(count - 1))).apply_async()
    return lambda: result.get(timeout=SECONDS)


def worker_command() -> list[str]:
    """The worker of `celery_app`, with these tasks."""
    return celery_app.worker_command(__name__)
