"""Tasks that are traced: spans leave in batches, here when the process ends, as lines of a file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from umbel import Context, Umbel
from umbel.signals import worker_process_init
from umbel.telemetry.tracing import UmbelInstrumentor

BROKER = os.environ["UMBEL_TEST_BROKER"]
SPANS = os.environ["UMBEL_TEST_SPANS"]
NEVER_MILLISECONDS = 3_600_000

app = Umbel("traced_tasks", broker=BROKER, backend=BROKER)
UmbelInstrumentor().instrument()


class Lines(SpanExporter):
    """Writes each span as a line of the file."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write *spans* in one step."""
        lines = "".join(f"{json.dumps(told(span))}\n" for span in spans)
        file = os.open(SPANS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, lines.encode())
        os.close(file)
        return SpanExportResult.SUCCESS


def told(span: ReadableSpan) -> dict[str, Any]:
    """What the tests look at."""
    context = span.get_span_context()
    assert context is not None
    return {
        "name": span.name,
        "trace": f"{context.trace_id:x}",
        "span": f"{context.span_id:x}",
        "parent": f"{span.parent.span_id:x}" if span.parent else "",
        "job": (span.attributes or {}).get("messaging.message.id", ""),
        "pid": os.getpid(),
    }


@worker_process_init.connect
def export(**_: object) -> None:
    """Set the exporter up where jobs run, so that its thread is there as well."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Lines(), schedule_delay_millis=NEVER_MILLISECONDS))
    trace.set_tracer_provider(provider)


def inner() -> None:
    """A span of the task's own."""
    with trace.get_tracer("traced_tasks").start_as_current_span("inner"):
        pass


@app.task
def in_thread() -> None:
    """Run in a thread."""
    inner()


@app.task
async def on_loop() -> None:
    """Run on the loop."""
    await asyncio.sleep(0)
    inner()


@app.task(runner="process")
def in_process() -> None:
    """Run in a process of its own."""
    inner()


@app.task(bind=True, max_retries=1)
def retried(self: Context) -> None:
    """Succeed at the second attempt."""
    inner()
    if not self.request.retries:
        raise self.retry(countdown=0)


@app.task
def parent() -> str:
    """Send a job; answers its id."""
    return in_thread.delay().id
