from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from umbel import Umbel
from umbel.exceptions import BrokerUnavailable, ImproperlyConfigured
from umbel.model.event import bucket_of
from umbel.telemetry import availability
from umbel.telemetry.availability import exporter_of
from umbel.telemetry.families import BUCKETS, queue_families
from umbel.telemetry.metrics import backlog, exposition
from umbel.telemetry.page import page
from umbel.testing import FailBefore
from umbel.worker.figures import MAX_LINES, OTHER, Line
from umbel.worker.reading import QueueReading, Reading


def values(body: bytes, name: str) -> dict[tuple[str, ...], float]:
    """The values of *name* in a page, by the values of its labels in the order of their names."""
    families = text_string_to_metric_families(body.decode())
    found = (sample for family in families for sample in family.samples if sample.name == name)
    return {tuple(value for _, value in sorted(each.labels.items())): each.value for each in found}


def reading(**more: Any) -> Reading:
    told: dict[str, Any] = {"live": True, "ready": True, "children": 2, "slots": 4, "used": 1, "rss": 9, "lag": 0.0}
    return Reading(worker="w", version="1", **{**told, **more})


def written(found: Reading) -> bytes:
    export = exporter_of()
    assert export is not None
    return export(found)[0]


def test_a_histogram_counts_what_took_at_most_so_long() -> None:
    line = Line("add", "q")
    for seconds in (0.001, 0.1, 0.1, 3.0, 100_000.0):
        line.runs.note(seconds)
    body = written(reading(lines=(line,)))
    found = {key[0]: value for key, value in values(body, "umbel_job_run_seconds_bucket").items()}
    assert (found["0.004"], found["0.128"], found["4.096"], found["+Inf"]) == (1, 3, 4, 5)
    assert len(found) == len(BUCKETS) + 1
    assert values(body, "umbel_job_run_seconds_count") == {("q", "add"): 5}
    assert values(body, "umbel_job_run_seconds_sum") == {("q", "add"): pytest.approx(100_003.201)}


def test_the_ends_of_buckets_are_exact() -> None:
    assert [bucket_of(0.001 * 2 ** (cut / 4)) for cut in BUCKETS] == list(BUCKETS)


def test_names_from_outside_cannot_break_the_page() -> None:
    name = 'a"b\\c\nd{}'
    line = Line(name, "q", {"succeeded": 1})
    assert values(written(reading(lines=(line,))), "umbel_jobs_total") == {("q", "succeeded", name): 1}


def test_queues_of_a_broker_that_did_not_answer_are_left_out() -> None:
    body = written(reading(reached=False))
    assert (values(body, "umbel_broker_up"), values(body, "umbel_queue_jobs")) == ({(): 0}, {})


def test_any_number_of_queues_makes_a_bounded_page_that_leaves_no_job_out() -> None:
    queues = [QueueReading(queue=f"q{number}", ready=1, oldest=float(number)) for number in range(2 * MAX_LINES)]
    body, _ = page(queue_families(queues))
    found = values(body, "umbel_queue_backlog")
    assert len(found) == MAX_LINES + 1
    assert found[(OTHER,)] == MAX_LINES
    assert values(body, "umbel_queue_oldest_age_seconds")[(OTHER,)] == 2 * MAX_LINES - 1


def test_an_age_that_nobody_knows_is_not_told() -> None:
    body, _ = page(queue_families([QueueReading(queue="q", ready=1)]))
    assert values(body, "umbel_queue_oldest_age_seconds") == {}


def test_an_app_tells_how_its_queues_are() -> None:
    with Umbel("shop", broker="memory://exposed") as app:
        for delay in (0, 3600):
            app.send_task("pay", countdown=delay)
        body, kind = exposition(app, None)
        assert kind.startswith("text/plain")
        found = values(body, "umbel_queue_jobs")
        assert (found[("default", "ready")], found[("default", "delayed")]) == (1, 1)
        assert (values(body, "umbel_workers"), values(body, "umbel_broker_up")) == ({(): 0}, {(): 1})
        assert backlog(app, "default")["backlog"] == 1
        with pytest.raises(ImproperlyConfigured, match="'nowhere' is unknown"):
            backlog(app, "nowhere")


def test_an_app_whose_broker_is_away_tells_so() -> None:
    with Umbel("shop", broker="memory://away") as whole:
        app = Umbel("shop", broker=FailBefore(whole.broker, lambda _: True))
        with pytest.raises(BrokerUnavailable):
            app.send_task("pay")
        body, _ = exposition(app, None)
    assert (values(body, "umbel_broker_up"), values(body, "umbel_workers")) == ({(): 0}, {})


def test_without_the_package_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda _: None)
    assert exporter_of() is None
    with (
        Umbel("shop", broker="memory://bare") as app,
        pytest.raises(ImproperlyConfigured, match=r"umbel\[prometheus\]"),
    ):
        exposition(app, None)
