"""What a worker tells of itself, of the jobs that it ran, and of its queues, as families of metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from umbel.telemetry.families import build, by_worker, gauge, histogram, put, queue_families
from umbel.worker.reading import Reading


def worker_families(reading: Reading) -> Iterator[Metric]:
    """All of *reading*."""
    yield build(reading.version)
    yield from _jobs(reading)
    yield gauge("umbel_broker_up", "1: the broker told how its queues are; 0: it did not answer.", reading.reached)
    yield from queue_families(reading.queues)
    yield gauge("umbel_workers", "Workers: 1 where a worker tells it, those with a lease where the dashboard does.", 1)
    yield from _worker(reading)
    lateness = histogram("umbel_schedule_lateness_seconds", "How late ticks of schedules were sent.", [])
    put(lateness, [], reading.lateness)
    yield lateness


def _jobs(reading: Reading) -> Iterator[Metric]:
    labels = ["task", "queue"]
    jobs = CounterMetricFamily("umbel_jobs", "Jobs by what became of them here.", labels=[*labels, "state"])
    wait = histogram("umbel_job_wait_seconds", "From being due to the first start.", labels)
    run = histogram("umbel_job_run_seconds", "How long each run took.", labels)
    for line in reading.lines:
        for state, count in sorted(line.jobs.items()):
            jobs.add_metric([line.task, line.queue, state], count)
        put(wait, [line.task, line.queue], line.waits)
        put(run, [line.task, line.queue], line.runs)
    yield from (jobs, wait, run)


def _worker(reading: Reading) -> Iterator[Metric]:
    name = reading.worker
    for metric, text, value in (
        ("live", "1: it is well; 0: a child is deaf, see /livez.", reading.live),
        ("ready", "1: it receives jobs, see /readyz.", reading.ready),
        ("children", "Child processes that live.", reading.children),
        ("slots", "Jobs that it can run at a time.", reading.slots),
        ("slots_used", "Jobs that it runs.", reading.used),
        ("memory_bytes", "Resident memory of all its processes.", reading.rss),
        ("loop_lag_seconds", "How late its slowest event loop was in the last ten seconds.", reading.lag),
    ):
        yield by_worker(f"umbel_worker_{metric}", text, [(name, value)])
    ended = CounterMetricFamily(
        "umbel_worker_children_ended", "Child processes that ended: stopped, or died.", labels=["worker", "how"]
    )
    for how in ("stopped", "died"):
        ended.add_metric([name, how], reading.ended.get(how, 0))
    yield ended
