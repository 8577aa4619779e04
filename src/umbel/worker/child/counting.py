"""Counting: how many jobs of a child came to which end, and how long they took; told to its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, Protocol, runtime_checkable

from umbel.execution.executor import Finished
from umbel.model.job import Delivery
from umbel.model.outcome import Crashed, Failed, Outcome, Parked, Released, Retried, Revoked, Succeeded
from umbel.model.presence import RunningJob
from umbel.worker.channel import ChannelClosed
from umbel.worker.figures import OTHER, Figures, Line
from umbel.worker.messages import Counted

PERIOD_SECONDS: Final = 1.0

Tell = Callable[[Counted], Awaitable[None]]


@runtime_checkable
class Roster(Protocol):
    """Who knows what runs: the board."""

    def started(self) -> list[RunningJob]:
        """The jobs that have started and have no outcome yet."""
        ...


class Counting:
    """Counts jobs of *tasks*; *held* are the deliveries that are here, by id; *gate* may be a `Roster`."""

    def __init__(self, tasks: Collection[str], held: Mapping[str, Delivery], gate: object) -> None:
        """Nothing is counted yet."""
        self._tasks = tasks
        self._held = held
        self._roster = gate if isinstance(gate, Roster) else None
        self._figures = Figures()
        self._ended: dict[tuple[str, str], int] = {}
        self._begun: dict[tuple[str, str], int] = {}
        self._tell: Tell | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self, tell: Tell) -> None:
        """Hand what was counted to *tell* every second, until `aclose`."""
        self._tell = tell
        self._running = asyncio.ensure_future(self._run())

    async def aclose(self) -> None:
        """Tell what is left, and nothing more."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        await self._send()

    def settled(self, batch: Sequence[Finished], answers: Sequence[bool]) -> None:
        """The broker has answered to the outcomes of *batch*: those that are ours count."""
        key: tuple[str, str] = ("", "")
        line = Line("", "")
        for finished, ours in zip(batch, answers, strict=True):
            outcome = finished.outcome
            state = "succeeded" if outcome.__class__ is Succeeded else _state(outcome)  # most are, and it is quick
            if not (ours and state):
                continue
            if (finished.task, finished.delivery.queue) != key:
                key = (finished.task, finished.delivery.queue)
                line = self._line(*key)
            line.count(state)
            if finished.ended:  # else it did not run
                self._measure(line, key, finished)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self._send()

    async def _send(self) -> None:
        self._count_started()
        if self._tell is not None:
            with contextlib.suppress(ChannelClosed):  # this process is about to end, too
                await self._tell(Counted(self._figures.take()))

    def _line(self, task: str, queue: str) -> Line:
        return self._figures.line(task if task in self._tasks else OTHER, queue)

    def _measure(self, line: Line, key: tuple[str, str], finished: Finished) -> None:
        self._ended[key] = self._ended.get(key, 0) + 1
        if run := getattr(finished.outcome, "run", 0.0):
            line.runs.note(run)
        if finished.wait >= 0:
            line.waits.note(finished.wait)

    def _count_started(self) -> None:
        """What has started is what has ended and what runs. Between the two, a job may be neither for a moment."""
        started = dict(self._ended)
        for job in () if self._roster is None else self._roster.started():
            delivery = self._held.get(job.id)
            if delivery is not None:
                key = (job.task, delivery.queue)
                started[key] = started.get(key, 0) + 1
        for key, jobs in started.items():
            new = jobs - self._begun.get(key, 0)
            if new > 0:
                self._line(*key).count("started", new)
                self._begun[key] = jobs


def _state(outcome: Outcome) -> str:
    match outcome:
        case Released() | Parked():
            return ""
        case Retried() | Crashed():
            return "retried"
        case Revoked():
            return "expired" if outcome.reason == "expired" else "revoked"
        case Failed():
            return "dead" if outcome.dead else "failed"
        case _:
            return "succeeded"
