"""Traces of jobs: whole, whatever runs them and however often, and in whatever process."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.system.harness import Workers
from umbel import Context, GroupResult, Umbel, chain, chord, group
from umbel.exceptions import BrokerUnavailable
from umbel.telemetry.tracing import UmbelInstrumentor
from umbel.testing import FailBefore, worker

JOBS = {"in_thread": 6, "on_loop": 6, "in_process": 2, "retried": 3, "parent": 3}
SECONDS = 60


class Spans:
    """What was exported, and the app whose jobs are traced."""

    def __init__(self) -> None:
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.tracer = self.provider.get_tracer("test")
        self.app = Umbel("traced", broker="memory://traced")
        self.seen: list[object] = []
        self._tasks()

    def _tasks(self) -> None:
        app = self.app

        @app.task(name="add")
        def add(x: int, y: int) -> int:
            with self.tracer.start_as_current_span("inner"):
                self.seen.append(baggage.get_baggage("tenant"))
            return x + y

        @app.task(name="aadd")
        async def aadd(x: int, y: int) -> int:
            await asyncio.sleep(0)
            with self.tracer.start_as_current_span("inner"):
                return x + y

        @app.task(name="fail")
        def fail() -> None:
            raise LookupError("nobody")

        @app.task(name="stumble", bind=True, max_retries=2)
        def stumble(self: Context) -> int:
            if self.request.retries < 2:
                raise self.retry(countdown=0, exc=OSError("away"))
            return 3

        @app.task(name="total")
        def total(numbers: list[int]) -> int:
            return sum(numbers)

        self.add, self.aadd, self.fail, self.stumble, self.total = add, aadd, fail, stumble, total

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of that name, in the order in which they ended."""
        return [span for span in self.memory.get_finished_spans() if span.name == name]

    def traces(self) -> dict[int, list[ReadableSpan]]:
        """All spans by their trace."""
        found: dict[int, list[ReadableSpan]] = defaultdict(list)
        for span in self.memory.get_finished_spans():
            found[ids(span)[0]].append(span)
        return found

    def orphans(self) -> list[str]:
        """The spans whose parent was not exported."""
        spans = self.memory.get_finished_spans()
        known = {ids(span)[1] for span in spans}
        return [span.name for span in spans if span.parent is not None and span.parent.span_id not in known]


def ids(span: ReadableSpan) -> tuple[int, int]:
    """The ids of its trace and of itself."""
    found = span.get_span_context()
    assert found is not None
    return found.trace_id, found.span_id


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    UmbelInstrumentor().instrument(tracer_provider=made.provider)
    yield made
    UmbelInstrumentor().uninstrument()
    made.app.close()


def test_a_job_is_one_trace_from_its_call_to_its_end(spans: Spans) -> None:
    with worker(spans.app, threads=2):
        for _ in range(3):
            assert spans.add.delay(1, 2).get(timeout=SECONDS) == 3
        assert spans.aadd.delay(1, 2).get(timeout=SECONDS) == 3
    traces = spans.traces()
    assert len(traces) == 4
    for names in (sorted(span.name for span in found) for found in traces.values()):
        assert names in (
            ["create add", "inner", "process add", "receive default", "send default"],
            ["create aadd", "inner", "process aadd", "receive default", "send default"],
        )
    assert spans.orphans() == []


def test_spans_tell_what_the_conventions_ask_for(spans: Spans) -> None:
    with worker(spans.app):
        result = spans.add.apply_async((1, 2), queue="default")
        result.get(timeout=SECONDS)
    (created,), (sent,), (ran,) = spans.named("create add"), spans.named("send default"), spans.named("process add")
    assert (created.kind, sent.kind, ran.kind) == (SpanKind.PRODUCER, SpanKind.CLIENT, SpanKind.CONSUMER)
    told = dict(ran.attributes or {})
    assert 0 <= cast(float, told.pop("umbel.task.wait")) < SECONDS
    assert str(told.pop("messaging.client.id")).startswith("umbel@")
    assert told == {
        "messaging.system": "umbel",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": result.id,
        "messaging.message.conversation_id": result.id,
        "umbel.task.name": "add",
        "umbel.task.attempt": 1,
        "umbel.task.state": "SUCCESS",
    }
    assert (created.attributes or {})["messaging.message.id"] == result.id
    assert ran.parent is not None
    assert ran.parent.span_id == ids(created)[1]
    assert [link.context.span_id for link in ran.links] == [ids(created)[1]]


def test_between_queue_and_run_a_job_is_received(spans: Spans) -> None:
    with worker(spans.app, threads=1):
        result = spans.stumble.delay()
        assert result.get(timeout=SECONDS) == 3
    received, ran = spans.named("receive default"), spans.named("process stumble")
    (created,) = spans.named("create stumble")
    assert [span.kind for span in received] == [SpanKind.CLIENT] * 3
    for arrival, run in zip(received, ran, strict=True):
        assert arrival.parent is not None
        assert arrival.parent.span_id == ids(created)[1]
        assert [link.context.span_id for link in arrival.links] == [ids(created)[1]]
        assert None not in (arrival.start_time, arrival.end_time, run.start_time)
        assert (created.end_time or 0) <= (arrival.start_time or 0) <= (arrival.end_time or 0)
        assert (arrival.end_time or 0) - 10**9 < (run.start_time or 0)
    told = dict(received[0].attributes or {})
    assert str(told.pop("messaging.client.id")).startswith("umbel@")
    assert told == {
        "messaging.system": "umbel",
        "messaging.operation.name": "receive",
        "messaging.operation.type": "receive",
        "messaging.destination.name": "default",
        "messaging.message.id": result.id,
    }


def test_the_trace_and_the_baggage_of_the_caller_go_on_in_the_worker(spans: Spans) -> None:
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        with worker(spans.app), spans.tracer.start_as_current_span("request") as request:
            spans.add.delay(1, 2).get(timeout=SECONDS)
    finally:
        context.detach(token)
    assert {ids(span)[0] for span in spans.memory.get_finished_spans()} == {request.get_span_context().trace_id}
    assert spans.seen == ["acme"]


def test_every_attempt_is_a_span_of_the_same_trace(spans: Spans) -> None:
    with worker(spans.app):
        assert spans.stumble.delay().get(timeout=SECONDS) == 3
    attempts = spans.named("process stumble")
    told = [
        ((one.attributes or {})["umbel.task.attempt"], (one.attributes or {})["umbel.task.state"]) for one in attempts
    ]
    assert told == [(1, "RETRY"), (2, "RETRY"), (3, "SUCCESS")]
    assert [[event.name for event in one.events] for one in attempts] == [["retry"], ["retry"], []]
    assert len(spans.traces()) == 1
    assert spans.orphans() == []


def test_a_failure_is_told_with_its_type_and_its_stack(spans: Spans) -> None:
    with worker(spans.app):
        spans.fail.delay().get(timeout=SECONDS, propagate=False)
    (ran,) = spans.named("process fail")
    assert (ran.status.status_code, (ran.attributes or {})["error.type"]) == (StatusCode.ERROR, "LookupError")
    assert "nobody" in str((ran.events[0].attributes or {})["exception.stacktrace"])


@pytest.mark.parametrize("kind", ["chain", "group", "chord"])
def test_all_jobs_of_a_flow_are_one_trace(spans: Spans, kind: str) -> None:
    flows: dict[str, Callable[[], Any]] = {
        "chain": lambda: chain(spans.add.s(1, 2), spans.add.s(3), spans.aadd.s(4)),
        "group": lambda: group(spans.add.s(number, 1) for number in range(3)),
        "chord": lambda: chord([spans.add.s(number, 1) for number in range(2)], spans.total.s()),
    }
    with worker(spans.app):
        flows[kind]().apply_async().get(timeout=SECONDS)
    assert len(spans.traces()) == 1
    ran = [span for span in spans.memory.get_finished_spans() if span.name.startswith("process ")]
    assert len(ran) == 3
    assert spans.orphans() == []


def test_jobs_that_are_sent_together_are_each_a_trace_unless_their_sender_has_one(spans: Spans) -> None:
    with worker(spans.app):
        GroupResult(None, spans.add.delay_many([(1, 2)] * 3), spans.app).get(timeout=SECONDS)
        assert len(spans.traces()) == 3
        spans.memory.clear()
        with spans.tracer.start_as_current_span("import"):
            GroupResult(None, spans.add.delay_many([(1, 2)] * 3), spans.app).get(timeout=SECONDS)
    assert len(spans.traces()) == 1
    (sent,) = spans.named("send default")
    assert (sent.attributes or {})["messaging.batch.message_count"] == len(sent.links) == 3
    assert spans.orphans() == []


def test_a_sending_that_fails_is_told(spans: Spans) -> None:
    app = Umbel("away", broker=FailBefore(spans.app.broker, lambda _: True))
    app.conf.broker_send_deadline = 0.1
    with pytest.raises(BrokerUnavailable):
        app.send_task("add", args=[1, 2])
    (sent,) = spans.named("send default")
    assert sent.status.status_code is StatusCode.ERROR


def test_runs_may_begin_traces_of_their_own_that_are_linked_to_the_call(spans: Spans) -> None:
    UmbelInstrumentor().instrument(tracer_provider=spans.provider, parenting="link")
    with worker(spans.app):
        spans.add.delay(1, 2).get(timeout=SECONDS)
    (created,), (ran,) = spans.named("create add"), spans.named("process add")
    assert ran.parent is None
    assert [link.context.span_id for link in ran.links] == [ids(created)[1]]


def test_the_pattern_of_a_schedule_has_no_trace_so_that_all_processes_have_the_same(spans: Spans) -> None:
    spans.app.add_periodic_task(3600.0, spans.add.s(1, 2), name="hourly")
    (entry,) = spans.app.periodic.entries()
    assert b"traceparent" not in entry.envelope
    assert spans.named("create add") == []


def test_headers_that_are_no_trace_do_no_harm(spans: Spans) -> None:
    UmbelInstrumentor().uninstrument()
    result = spans.add.apply_async((1, 2), headers={"traceparent": 7, "tracestate": "\0", "baggage": ["x"]})
    UmbelInstrumentor().instrument(tracer_provider=spans.provider)
    with worker(spans.app):
        assert result.get(timeout=SECONDS) == 3
    assert len(spans.named("process add")) == 1


def test_nothing_is_traced_once_it_is_switched_off(spans: Spans) -> None:
    UmbelInstrumentor().uninstrument()
    with worker(spans.app):
        spans.add.delay(1, 2).get(timeout=SECONDS)
    assert [span.name for span in spans.memory.get_finished_spans()] == ["inner"]


def test_another_parenting_is_refused() -> None:
    with pytest.raises(ValueError, match="'child' or 'link'"):
        UmbelInstrumentor().instrument(parenting="sibling")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def told(span: ReadableSpan) -> dict[str, Any]:
    """What a worker would have written of a span that this process has exported."""
    trace, own = ids(span)
    parent = f"{span.parent.span_id:x}" if span.parent else ""
    return {"name": span.name, "trace": f"{trace:x}", "span": f"{own:x}", "parent": parent, "pid": 0}


def read(file: Path) -> list[dict[str, Any]]:
    """The spans that workers have exported."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_processes_that_come_and_go_leave_whole_traces_behind(tmp_path: Path, spans: Spans) -> None:
    workers, file = Workers(tmp_path), tmp_path / "spans"
    url = f"sqlite:///{tmp_path}/jobs.db"
    app = Umbel("traced_tasks", broker=url, backend=url)
    try:
        words = ("--processes=2", "--threads=1", "--max-tasks-per-child=4")
        running = workers.start(*words, app="traced_tasks", UMBEL_TEST_BROKER=url, UMBEL_TEST_SPANS=str(file))
        names = [f"traced_tasks.{name}" for name, count in JOBS.items() for _ in range(count)]
        sent = GroupResult(None, [app.send_task(name) for name in names], app).get(timeout=SECONDS)
        for child in filter(None, sent):
            app.AsyncResult(child).get(timeout=SECONDS)
        assert running.wait_ready().stop() == 0
    finally:
        workers.end()
        app.close()
    exported = [*read(file), *map(told, spans.memory.get_finished_spans())]
    known = {span["span"] for span in exported}
    assert [span["name"] for span in exported if span["parent"] and span["parent"] not in known] == []
    assert len({span["trace"] for span in exported}) == len(names)
    ran = Counter(span["name"] for span in exported if span["name"].startswith("process "))
    assert {name.removeprefix("process traced_tasks."): count for name, count in ran.items()} == {
        **JOBS,
        "retried": 2 * JOBS["retried"],
        "in_thread": JOBS["in_thread"] + JOBS["parent"],
    }
    assert len({span["pid"] for span in exported}) > 3
