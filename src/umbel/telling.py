"""Telling: what happened to jobs as events. What those have in common who send, run and schedule jobs."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.event_log import EventLog, EventLogHolder
from umbel.exceptions import DecodeError
from umbel.journal import MAX_TOGETHER, Count, Journal
from umbel.model.event import MAX_ENVELOPE_BYTES, Event, Sent
from umbel.model.flow import END, Flow, FlowState, Page, Part, Standing
from umbel.model.job import Delivery, Job
from umbel.retelling import described
from umbel.security.redaction import UNKNOWN, Redaction, Sketch
from umbel.settings import Settings
from umbel.wire.envelope import MAX_LINK_BYTES, Envelope, decode

_CRC_VALUES: Final = 2**32


class _Name(msgspec.Struct, rename={"task": "t"}, gc=False):
    """What of an envelope says whose job it is."""

    task: str


_name: Final = msgspec.msgpack.Decoder(_Name)


class Teller:
    """Puts what happens to jobs into *journal*, as *conf* says; *sketch* tells what is known of a task, by its name."""

    def __init__(self, journal: Journal, conf: Settings, sketch: Callable[[str], Sketch]) -> None:
        self.journal = journal
        self.redaction = Redaction(conf.event_redact)
        journal.words = tuple(conf.event_redact)
        self._sketch = sketch
        self._sketches: dict[str, Sketch] = {}
        self._below = conf.history_sample * _CRC_VALUES

    def sent(self, jobs: Sequence[Job]) -> None:
        """*jobs* were accepted by the broker."""
        now = time.time()
        for start in range(0, len(jobs), MAX_TOGETHER):
            part = list(jobs[start : start + MAX_TOGETHER])
            self.journal.add_all(self._sent, part, now, len(part[0].envelope))

    def revoked(self, deliveries: Sequence[Delivery]) -> None:
        """*deliveries* were ended from here, as their jobs were revoked before they could run."""
        now = time.time()
        for start in range(0, len(deliveries), MAX_TOGETHER):
            part = list(deliveries[start : start + MAX_TOGETHER])
            self.journal.add_all(self._revoked, part, now, len(part[0].envelope))

    def revived(self, jobs: Sequence[Job]) -> None:
        """*jobs*, which were dead letters, are to run again."""
        now = time.time()
        for job in jobs:
            self.journal.add(self._revived, job, now, len(job.envelope), grave=True)

    def started_flow(self, flow: Flow, total: int, root: str | None) -> None:
        """*flow* was accepted by the broker; *total* is how many jobs it has so far."""
        body: dict[str, Any] = {"total": total}
        if root:
            body["root"] = root
        self.say(Event("flow-started", time.time(), flow.id, "", flow.home, 0, body))

    def ended_flow(self, flow: str, home: str, state: FlowState) -> None:
        """*flow* has ended as *state*."""
        self.say(Event("flow-ended", time.time(), flow, "", home, 0, {"state": state}))

    def ended_flows(self, pages: Sequence[Page], standings: Sequence[Standing | None]) -> list[Page]:
        """Tell of the flows of *pages* that have ended, by their *standings*; answers the pages of those that run."""
        running: list[Page] = []
        for page, standing in zip(pages, standings, strict=True):
            if standing is not None and standing.state == "running":
                running.append(page)
            elif standing is not None:
                self.ended_flow(page.flow, page.home, standing.state)
        return running

    def say(self, event: Event) -> None:
        """*event* happened."""
        self.journal.add(_as_it_is, event, event.at, 0, grave=True)

    @property
    def samples(self) -> bool:
        """Whether some jobs are not told of, if they come to no harm."""
        return self._below < _CRC_VALUES

    def telling(self, job_id: str, task: str) -> bool:
        """Whether jobs of *task* are told of, and this is one of those that are, if it comes to no harm."""
        if self.sketch(task).silent:
            return False
        return self._below >= _CRC_VALUES or zlib.crc32(job_id.encode()) < self._below

    def sketch(self, task: str) -> Sketch:
        """What is known of *task*."""
        found = self._sketches.get(task)
        if found is None:
            found = self._sketches[task] = self._sketch(task)
        return found

    def described(self, envelope: Envelope, priority: int | None = None) -> dict[str, Any]:
        """What the job in *envelope* is, as the body of its events has it."""
        return described(envelope, self.redaction, self.sketch(envelope.task), priority)

    def sealed(self, task: str, envelope: bytes) -> bytes:
        """The bytes of *envelope* if they may be told: they are not too many, and nothing of *task* is hidden."""
        return b"" if len(envelope) > MAX_ENVELOPE_BYTES or self.sketch(task).hidden else envelope

    def _sent(self, journal: Journal, jobs: list[Job], at: float, tell: bool) -> list[Event]:
        """Of most jobs no more than the name of the task is read: whoever reads the event has the envelope."""
        events: list[Event] = []
        task, queue, samples = "", "", self.samples
        sketch, count, rows = UNKNOWN, Count(), list[Sent]()
        for job in jobs:
            try:
                name = _name.decode(job.envelope).task
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if name != task or job.queue != queue:
                task, queue, sketch = name, job.queue, self.sketch(name)
                count, rows = journal.count(task, queue), journal.sent(task, queue, sketch.names)
            count.sent += 1
            if not tell or sketch.silent or (samples and not self.telling(job.id, task)):
                continue
            if sketch.hidden or len(job.envelope) > MAX_ENVELOPE_BYTES:
                with suppress(DecodeError):
                    events.append(self._sent_apart(job, decode(job.envelope, MAX_LINK_BYTES), at))
            else:
                rows.append((job.id, at, job.priority, job.envelope))
        return events

    def _revived(self, journal: Journal, job: Job, at: float, tell: bool) -> Event | None:
        try:
            envelope = decode(job.envelope, MAX_LINK_BYTES)
        except DecodeError:
            return None
        journal.count(envelope.task, job.queue).sent += 1
        if not tell or self.sketch(envelope.task).silent:
            return None
        return self._sent_apart(job, envelope, at, revived=True)

    def _sent_apart(self, job: Job, envelope: Envelope, at: float, **more: Any) -> Event:
        """The event of *job* with what it is, and with its envelope if that may be told."""
        body = {**self.described(envelope, job.priority), **more}
        sealed = self.sealed(envelope.task, job.envelope)
        return Event("task-sent", at, job.id, envelope.task, job.queue, 0, body, sealed)

    def _revoked(self, journal: Journal, deliveries: list[Delivery], at: float, tell: bool) -> list[Event]:
        events: list[Event] = []
        for one in deliveries:
            with suppress(DecodeError):
                envelope = decode(one.envelope, MAX_LINK_BYTES)
                task = envelope.task
                journal.count(task, one.queue).revoked += 1
                if tell and not self.sketch(task).silent:
                    body = {"reason": "revoked", **self.described(envelope)}
                    sealed = self.sealed(task, one.envelope)
                    events.append(Event("task-revoked", at, one.id, task, one.queue, one.attempt, body, sealed))
        return events


def page_at_end(part: Part) -> Page | None:
    """What to ask of the flow of a job with *part* that has ended; None if others of that flow are still to come."""
    if all(node != END for node, _ in part.feeds):
        return None
    return Page(part.flow, part.home, 0)


def _as_it_is(journal: Journal, event: Event, at: float, tell: bool) -> Event | None:
    del journal, at
    return event if tell else None


def log_at(broker: object) -> EventLog | None:
    """The log of events of *broker*; None where it keeps none."""
    return broker.event_log if Power.EVENTS in powers_of(broker) and isinstance(broker, EventLogHolder) else None


def sketch_of(task: Any) -> Sketch:
    """What is known of *task*, one that is registered here; or of none."""
    arguments = getattr(task, "arguments", None)
    if arguments is None:
        return UNKNOWN
    return Sketch(arguments.names, tuple(task.redact), not task.send_events)
