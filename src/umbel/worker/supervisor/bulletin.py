"""Bulletin: what a worker tells of itself in events: that it is here, how it is, and what its schedules send."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import Any, Final

from umbel.exceptions import DecodeError
from umbel.journal import PERIOD_SECONDS, Journal
from umbel.model.event import Event, Kind
from umbel.model.job import Job
from umbel.security.redaction import UNKNOWN
from umbel.telling import Teller, log_at
from umbel.wire.envelope import MAX_LINK_BYTES, decode
from umbel.wire.ticks import TICK_HEADER
from umbel.worker import kernel
from umbel.worker.supervisor.children import Children
from umbel.worker.supervisor.plan import Plan

HEARTBEAT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
FAREWELL_SECONDS: Final = 0.5
"""How long, at the end, the log may take to hear that the worker is gone."""


def bulletin_of(broker: object, plan: Plan, children: Children) -> Bulletin | None:
    """The bulletin of the worker of *plan*; None if *broker* keeps no events."""
    log = log_at(broker)
    if log is None:
        return None
    return Bulletin(Journal(log, plan.settings.event_log_batches, worker=plan.worker), plan, children)


class Bulletin:
    """The events of one supervisor, which go by *journal*; in its loop. It begins with the events of the jobs here."""

    def __init__(self, journal: Journal, plan: Plan, children: Children) -> None:
        """Tell nothing yet."""
        self._journal = journal
        self._plan = plan
        self._children = children
        self._teller = Teller(journal, plan.settings, lambda name: plan.sketches.get(name, UNKNOWN))
        self._news = asyncio.Event()
        self._begun = asyncio.Event()
        if plan.events:
            self._begun.set()
        journal.wake = self._news.set

    async def run(self) -> None:
        """Tell for ever, from `begin` on."""
        await self._begun.wait()
        tasks = {name: list(sketch.names) for name, sketch in self._plan.sketches.items()}
        self._say("worker-online", {**self._state(), "tasks": tasks})
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._flush()
            self._say("worker-heartbeat", self._state() | self._load())

    def begin(self) -> None:
        """Tell from now on."""
        self._begun.set()

    async def aclose(self) -> None:
        """Tell that the worker is gone, if the log listens, and it was told that it is there."""
        if not self._begun.is_set():
            return
        body = {"host": self._plan.host, "pid": os.getpid(), "processed": self._children.processed}
        self._say("worker-offline", body)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._journal.aflush()

    def ticked(self, name: str, job: Job) -> None:
        """The tick of the schedule *name* has sent *job*."""
        if not self._begun.is_set():
            return
        with contextlib.suppress(DecodeError):
            envelope = decode(job.envelope, MAX_LINK_BYTES)
            tick = (envelope.headers or {}).get(TICK_HEADER)
            body: dict[str, Any] = {"job": job.id, "tick": tick}
            self._teller.say(Event("schedule-tick", time.time(), name, envelope.task, job.queue, 0, body))
            if self._plan.settings.task_send_sent_event:
                self._teller.sent((job,))

    async def _flush(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(PERIOD_SECONDS)
            # The journal calls but once for all that it holds: whoever is cancelled before it is empty must not forget.
            self._news.clear()
            taken = False
            try:
                taken = await self._journal.aflush()
            finally:
                if not taken:
                    self._news.set()
            if not taken:
                await asyncio.sleep(RETRY_SECONDS)

    def _say(self, kind: Kind, body: dict[str, Any]) -> None:
        self._teller.say(Event(kind, time.time(), self._plan.worker, "", "", 0, body))

    def _state(self) -> dict[str, Any]:
        plan = self._children.plan
        return {
            "host": plan.host,
            "pid": os.getpid(),
            "version": plan.version,
            "release": plan.settings.worker_release,
            "queues": list(plan.queues),
            "slots": plan.slots * self._children.count,
        }

    def _load(self) -> dict[str, Any]:
        children = self._children.living()
        jobs = {job.id: job.since for child in children for job in child.running()}
        pids = [os.getpid(), *(child.pid for child in children if child.pid)]
        return {
            "used": len(jobs),
            "rss": sum(map(kernel.resident, pids)),
            "cpu": sum(map(kernel.processor_seconds, pids)),
            "jobs": jobs,
            "processed": self._children.processed,
        }
