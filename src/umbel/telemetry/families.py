"""Families of metrics that worker and dashboard have in common: the names stand here once.

By Prometheus's conventions: seconds and bytes, `_total` for what only grows. Labels are few and bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from umbel.model.event import seconds_of
from umbel.worker.figures import MAX_LINES, OTHER, Timings
from umbel.worker.reading import QueueReading

BUCKETS: Final = tuple(range(8, 85, 4))
"""The buckets of `umbel.model.event` at whose ends histograms are cut: 4 ms to 35 min, each twice the one before."""
_PLACES: Final = ("ready", "delayed", "running", "held", "parked", "dead")


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """A gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def build(version: str) -> GaugeMetricFamily:
    """Which version speaks."""
    family = GaugeMetricFamily("umbel_build_info", "The version of Umbel, as a label.", labels=["version"])
    family.add_metric([version], 1)
    return family


def histogram(name: str, text: str, labels: Sequence[str]) -> HistogramMetricFamily:
    """A histogram of seconds, empty."""
    return HistogramMetricFamily(name, text, labels=labels)


def put(family: HistogramMetricFamily, labels: Sequence[str], timings: Timings) -> None:
    """Add *timings* to *family* under the values *labels*."""
    ends: list[tuple[str, float]] = []
    below = 0
    places = iter(sorted(timings.buckets.items()))
    place = next(places, None)
    for cut in BUCKETS:
        while place is not None and place[0] <= cut:
            below += place[1]
            place = next(places, None)
        ends.append((repr(seconds_of(cut)), below))
    ends.append(("+Inf", sum(timings.buckets.values())))
    family.add_metric(labels, ends, timings.seconds)


def queue_families(queues: Sequence[QueueReading]) -> Iterator[Metric]:
    """How full queues are. Those beyond `MAX_LINES` are told of as one, `OTHER`."""
    jobs = GaugeMetricFamily(
        "umbel_queue_jobs", "Jobs in the queue; those whose delay is over are ready.", labels=["queue", "state"]
    )
    backlog = GaugeMetricFamily(
        "umbel_queue_backlog", "What there is to do: jobs that are ready, due or running.", labels=["queue"]
    )
    oldest = GaugeMetricFamily(
        "umbel_queue_oldest_age_seconds", "For how long the job at the front has been due.", labels=["queue"]
    )
    paused = GaugeMetricFamily("umbel_queue_paused", "1: nobody receives from the queue.", labels=["queue"])
    for each in bounded(queues):
        for place in _PLACES:
            jobs.add_metric([each.queue, place], getattr(each, place))
        backlog.add_metric([each.queue], each.backlog)
        paused.add_metric([each.queue], each.paused)
        if each.oldest is not None:
            oldest.add_metric([each.queue], each.oldest)
    yield from (jobs, backlog, oldest, paused)


def bounded(queues: Sequence[QueueReading]) -> list[QueueReading]:
    """*queues*; if there are too many, the rest added up."""
    rest = queues[MAX_LINES:]
    if not rest:
        return list(queues)
    ages = [each.oldest for each in rest if each.oldest is not None]
    other = QueueReading(queue=OTHER, oldest=max(ages, default=None))
    sums = {place: sum(getattr(each, place) for each in rest) for place in _PLACES}
    return [*queues[:MAX_LINES], msgspec.structs.replace(other, **sums)]


def counter(name: str, text: str, label: str, counts: Mapping[str, Mapping[str, int]]) -> CounterMetricFamily:
    """Jobs by *label* and state."""
    family = CounterMetricFamily(name, text, labels=[label, "state"])
    for value, states in counts.items():
        for state, jobs in states.items():
            family.add_metric([value, state], jobs)
    return family


def by_worker(name: str, text: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    """A gauge of each worker, by its node name."""
    family = GaugeMetricFamily(name, text, labels=["worker"])
    for worker, value in values:
        family.add_metric([worker], value)
    return family
