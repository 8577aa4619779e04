"""Tracing: spans of jobs for OpenTelemetry, from their call to the end of each run, in one trace across processes.

Built on signals, and on `umbel.spans` for what leaves. The context travels in the headers of a job (W3C's traceparent),
which stay with it through retries, crashes and flows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from umbel import __version__, signals, spans
from umbel.clock import clock
from umbel.exceptions import DecodeError
from umbel.model.finding import STEP_SECONDS
from umbel.model.job import Job
from umbel.request import Request, running
from umbel.telemetry import conventions as names
from umbel.wire.envelope import MAX_LINK_BYTES, decode
from umbel.wire.ticks import NAME_HEADER

Parenting = Literal["child", "link"]

FLUSH_MILLISECONDS: Final = 5_000
"""How long, at the end of a process, the exporter may take for what is left."""
MAX_LINKS: Final = 128
NANOSECONDS: Final = 1_000_000_000
_logger: Final = logging.getLogger("umbel.telemetry")
_UID: Final = "umbel.telemetry.tracing"
_OPEN: Final = "umbel_open_span"
"""The attribute of a request under which its span is kept until the run has ended."""


class UmbelInstrumentor:
    """Switches tracing on and off in this process and those forked from it, as OpenTelemetry's instrumentors do.

    Call `instrument` where the app is made, so that workers and whoever sends jobs do so alike.
    """

    def instrument(
        self, *, tracer_provider: TracerProvider | None = None, parenting: Parenting = "child", **_: Any
    ) -> None:
        """Trace from now on; by *tracer_provider*, or by the one that is global when the first span begins.

        *parenting* "link" lets each run begin a trace of its own that is linked to the call; "child" has it in the
        trace of the call. Raises `ValueError` for any other.
        """
        if parenting not in ("child", "link"):
            raise ValueError(f"parenting is {parenting!r}: give 'child' or 'link'")
        self.uninstrument()
        tracer = trace.get_tracer("umbel", __version__, tracer_provider)
        tracing = _Tracing(tracer, parenting, tracer_provider)
        for signal, receiver in tracing.receivers():
            signal.connect(receiver, weak=False, dispatch_uid=_UID)
        spans.trace_by(tracing)

    def uninstrument(self, **_: Any) -> None:
        """Trace no more."""
        for signal in _SIGNALS:
            signal.disconnect(dispatch_uid=_UID)
        spans.trace_by(None)


_SIGNALS: Final = (
    signals.before_task_publish,
    signals.task_prerun,
    signals.task_retry,
    signals.task_failure,
    signals.task_postrun,
    signals.worker_process_shutdown,
)


class _Tracing:
    """What is done at each moment."""

    def __init__(self, tracer: trace.Tracer, parenting: Parenting, provider: TracerProvider | None) -> None:
        self._tracer = tracer
        self._parenting = parenting
        self._provider = provider

    def receivers(self) -> list[tuple[signals.Signal, signals.Receiver]]:
        """What to connect to which signal."""
        told = (self.created, self.began, self.retried, self.failed, self.ended, self.leaving)
        return list(zip(_SIGNALS, told, strict=True))

    # --- sending

    def created(self, sender: str, headers: dict[str, Any], routing_key: str, **_: Any) -> None:
        """A job is made: its span ends at once, so that it is there whatever becomes of the sending."""
        if spans.is_unsent():
            return
        attributes = {
            names.SYSTEM: names.UMBEL,
            names.OPERATION: names.CREATE,
            names.OPERATION_TYPE: names.CREATE,
            names.DESTINATION: routing_key,
            names.MESSAGE_ID: str(headers.get("id")),
            names.CONVERSATION_ID: str(headers.get("root_id") or headers.get("id")),
            names.TASK: sender,
        }
        span = self._tracer.start_span(f"{names.CREATE} {sender}", kind=SpanKind.PRODUCER, attributes=attributes)
        propagate.inject(headers, trace.set_span_in_context(span))
        span.end()

    def sending(self, jobs: Sequence[Job]) -> AbstractContextManager[object]:
        """A span around the sending of *jobs*: of one, in the trace of its call."""
        try:
            return self._sending(jobs)
        except Exception:
            _logger.exception("the sending of %d jobs is not traced", len(jobs))
            return nullcontext()

    def _sending(self, jobs: Sequence[Job]) -> AbstractContextManager[object]:
        made = [_context_of(job) for job in jobs[:MAX_LINKS]]
        parent = made[0] if len(jobs) == 1 else contexts.get_current()
        if not jobs or not trace.get_current_span(parent).get_span_context().is_valid:
            return nullcontext()  # several at once, and no trace that they are of: each has its own
        attributes: dict[str, str | int] = {
            names.SYSTEM: names.UMBEL,
            names.OPERATION: names.SEND,
            names.OPERATION_TYPE: names.SEND,
            names.DESTINATION: jobs[0].queue,
            names.BATCH_COUNT: len(jobs),
        }
        links = [Link(trace.get_current_span(each).get_span_context()) for each in made] if len(jobs) > 1 else []
        name = f"{names.SEND} {jobs[0].queue}"
        return self._tracer.start_as_current_span(
            name, parent, kind=SpanKind.CLIENT, attributes=attributes, links=links
        )

    def flow(self, kind: str) -> AbstractContextManager[object]:
        """A span that the calls of all jobs of a canvas are below."""
        attributes: dict[str, str] = {names.SYSTEM: names.UMBEL, names.FLOW: kind}
        return self._tracer.start_as_current_span(f"{names.SEND} {kind}", attributes=attributes)

    # --- running

    def began(self, **_: Any) -> None:
        """A run begins: whatever it does is below its span."""
        request = running.get()
        if request is None:
            return
        headers = _texts(request.headers)
        caller = propagate.extract(headers, Context() if headers else contexts.get_current())
        called = trace.get_current_span(caller).get_span_context()
        if called.is_valid and request.received:
            self._received(request, caller, Link(called))
        apart = self._parenting == "link" and called.is_valid
        span = self._tracer.start_span(
            f"{names.PROCESS} {request.task}",
            Context() if apart else caller,
            kind=SpanKind.CONSUMER,
            attributes=_attributes(request),
            links=[Link(called)] if called.is_valid else [],
        )
        setattr(request, _OPEN, (span, contexts.attach(trace.set_span_in_context(span, caller))))

    def _received(self, request: Request, caller: Context, link: Link) -> None:
        """From when the job came to this process to the begin of its run: what lies before, it spent in the queue."""
        attributes: dict[str, str] = {
            names.SYSTEM: names.UMBEL,
            names.OPERATION: names.RECEIVE,
            names.OPERATION_TYPE: names.RECEIVE,
            names.DESTINATION: request.queue,
            names.MESSAGE_ID: request.id,
            names.CLIENT_ID: request.hostname,
        }
        span = self._tracer.start_span(
            f"{names.RECEIVE} {request.queue}",
            caller,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=[link],
            start_time=int(request.received * NANOSECONDS),
        )
        span.end()

    def retried(self, request: Request, reason: object, **_: Any) -> None:
        """The run has failed and another one follows."""
        span = _span_of(request)
        if span is not None:
            span.add_event("retry", {"reason": str(reason)})

    def failed(self, exception: BaseException, **_: Any) -> None:
        """The run has failed for good."""
        span = _span_of(running.get())
        if span is not None:
            span.record_exception(exception)
            span.set_attribute(names.ERROR_TYPE, _name_of(exception))
            span.set_status(Status(StatusCode.ERROR, str(exception)))

    def ended(self, state: str, **_: Any) -> None:
        """The run has ended."""
        request = running.get()
        opened = None if request is None else vars(request).pop(_OPEN, None)
        if opened is not None:
            span, token = opened
            span.set_attribute(names.STATE, state)
            contexts.detach(token)
            span.end()

    async def leaving(self, **_: Any) -> None:
        """This process is about to end, without the exit handlers of a program: send what is left."""
        provider = self._provider or trace.get_tracer_provider()
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            await asyncio.to_thread(flush, FLUSH_MILLISECONDS)


def _wait(request: Request) -> float | None:
    """For how many seconds the job of *request*, which starts now, was due; None: nobody knows, or no first run."""
    due = request.envelope.due if request.deliveries == 1 else 0.0
    wait = clock.now() - due
    return max(0.0, wait) if due and wait > -STEP_SECONDS else None  # else the clocks of two hosts differ


def _attributes(request: Request) -> dict[str, str | int | float]:
    found: dict[str, str | int | float | None] = {
        names.SYSTEM: names.UMBEL,
        names.OPERATION: names.PROCESS,
        names.OPERATION_TYPE: names.PROCESS,
        names.DESTINATION: request.queue,
        names.CLIENT_ID: request.hostname,
        names.MESSAGE_ID: request.id,
        names.CONVERSATION_ID: request.root_id,
        names.TASK: request.task,
        names.ATTEMPT: request.deliveries,
        names.WAIT: _wait(request),
        names.PARENT: request.parent_id,
        names.GROUP: request.group,
        names.SCHEDULE: request.headers.get(NAME_HEADER),
    }
    return {name: value for name, value in found.items() if value is not None}


def _context_of(job: Job) -> Context:
    """The context that travels in *job*."""
    try:
        headers = decode(job.envelope, MAX_LINK_BYTES).headers or {}
    except DecodeError:
        headers = {}
    return propagate.extract(_texts(headers), Context())


def _texts(headers: Mapping[str, Any]) -> dict[str, str]:
    """Those of *headers* that may be of a propagator: anybody may have written others."""
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def _span_of(request: Request | None) -> Span | None:
    opened = None if request is None else vars(request).get(_OPEN)
    return None if opened is None else opened[0]


def _name_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
