"""What the app's broker and its history tell of all queues, workers, schedules and jobs, as families of metrics."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from umbel.history.views import Standing, Totals
from umbel.model.presence import Presence
from umbel.telemetry.families import build, by_worker, counter, gauge, queue_families
from umbel.worker.figures import MAX_LINES, OTHER
from umbel.worker.reading import QueueReading

STATES = ("sent", "succeeded", "failed", "retried", "revoked", "dead")


class Past(msgspec.Struct, frozen=True):
    """What a history tells: totals since a fixed moment, and how the history itself is."""

    tasks: Sequence[Totals]
    queues: Sequence[Totals]
    standing: Standing


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker tells now. *reached* is False if it did not answer; *overdue* are seconds by schedule."""

    version: str
    reached: bool = True
    queues: tuple[QueueReading, ...] = ()
    children: tuple[Presence, ...] = ()
    overdue: Mapping[str, float] = {}


def app_families(present: Present, past: Past | None) -> Iterator[Metric]:
    """All of it."""
    yield build(present.version)
    yield gauge("umbel_broker_up", "1: the broker told how its queues are; 0: it did not answer.", present.reached)
    yield from queue_families(present.queues)
    if present.reached:
        yield from _workers(present.children)
        yield _overdue(present.overdue)
    if past is not None:
        yield from _past(past)


def _workers(children: Sequence[Presence]) -> Iterator[Metric]:
    found: dict[str, list[Presence]] = defaultdict(list)
    for child in children:
        name = child.worker if child.worker in found or len(found) < MAX_LINES else OTHER
        found[name].append(child)
    count = len({child.worker for child in children})
    text = "Workers: 1 where a worker tells it, those with a lease where the dashboard does."
    yield gauge("umbel_workers", text, count)
    slots = {name: sum(each.threads + each.async_slots for each in those) for name, those in found.items()}
    used = {name: sum(len(each.running) for each in those) for name, those in found.items()}
    yield by_worker(
        "umbel_worker_children", "Child processes that live.", [(name, len(those)) for name, those in found.items()]
    )
    yield by_worker("umbel_worker_slots", "Jobs that it can run at a time.", slots.items())
    yield by_worker("umbel_worker_slots_used", "Jobs that it runs.", used.items())


def _overdue(overdue: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(
        "umbel_schedule_overdue_seconds", "For how long the next tick has been due and not sent.", labels=["schedule"]
    )
    for name, seconds in sorted(overdue.items())[:MAX_LINES]:
        family.add_metric([name], seconds)
    return family


def _past(past: Past) -> Iterator[Metric]:
    yield counter("umbel_history_task_jobs", "Jobs by task, as events told.", "task", _counts(past.tasks))
    yield counter("umbel_history_queue_jobs", "Jobs by queue, as events told.", "queue", _counts(past.queues))
    standing = past.standing
    yield gauge("umbel_history_bytes", "How large the history is.", standing.bytes)
    yield gauge("umbel_history_gaps", "Batches of events that are missing.", len(standing.gaps))
    dropped = CounterMetricFamily("umbel_history_events_dropped", "Events lost to the bounds of their senders.")
    dropped.add_metric([], standing.dropped)
    yield dropped
    if standing.recorded is not None:
        silent = max(0.0, time.time() - standing.recorded)
        yield gauge("umbel_recorder_silent_seconds", "How long ago a recorder last wrote.", silent)
    if standing.lag is not None:
        yield gauge("umbel_recorder_lag_seconds", "How old the newest batch was when it was written.", standing.lag)


def _counts(totals: Sequence[Totals]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    # Those that are told apart must be the same at each look, or their numbers would fall: in the order of names.
    for each in sorted(totals, key=lambda each: each.name):
        name = each.name if len(counts) < MAX_LINES else OTHER
        sums = counts.setdefault(name, dict.fromkeys(STATES, 0))
        for state in STATES:
            sums[state] += getattr(each, state)
    return counts
