"""Watchdog: sees on the boards which jobs have passed their limits or were revoked, and has them end, whatever they do.

A job is asked first, by an exception inside it; what does not listen dies with its child, and nobody else is charged.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from umbel.model.job import Doom
from umbel.model.presence import RunningJob
from umbel.worker import kernel
from umbel.worker.board import Board, Limited, boot_seconds
from umbel.worker.messages import Why

LOOK_SECONDS: Final = 0.1
WEIGH_SECONDS: Final = 1.0
FREEZE_SECONDS: Final = 0.2
"""How long after its limit a job may go on before its child starts no more jobs."""
TIMEOUT_GRACE_SECONDS: Final = 0.5
"""How long after its limit a job may go on before its child is killed."""
REVOKE_GRACE_SECONDS: Final = 1.0
"""How long a job that was revoked may go on before its child is killed."""
ISOLATED_PATIENCE_SECONDS: Final = 1.5
"""How much longer a child may take to end a job that runs in a process of its own."""
LISTEN_SECONDS: Final = 5.0
"""How long a job that was revoked is looked for: it may be on its way into a child."""

logger = logging.getLogger("umbel.worker")


class Watched(Protocol):
    """A child, as the watchdog sees it."""

    board: Board
    pid: int
    stopped: bool

    def retire(self) -> None:
        """Have it end when what it runs has ended."""

    def running(self) -> list[RunningJob]:
        """What it has started and not ended."""
        ...

    def interrupt(self, jobs: Sequence[str], why: Why, number: int = 0) -> None:
        """Ask it to interrupt *jobs*."""

    def doom(self, job: str, doom: Doom) -> None:
        """Kill it for the sake of *job*."""

    def freeze(self) -> None:
        """Let it start nothing for the time being."""

    def thaw(self) -> None:
        """Let it start jobs again."""


class Order(msgspec.Struct, frozen=True):
    """That a job is to end: since when, in `boot_seconds`, and by which signal if it has a process of its own."""

    since: float
    signal: int
    at_once: bool


class Watchdog:
    """Looks ten times a second; the children that live are what *living* answers."""

    def __init__(self, living: Callable[[], Iterable[Watched]], max_memory: int | None = None) -> None:
        """Nothing is revoked yet. A child above *max_memory* bytes is replaced when what it runs has ended."""
        self._living = living
        self._max_memory = max_memory
        self._weigh_at = 0.0
        self._asked: dict[Limited, Why] = {}
        self._orders: dict[str, Order] = {}

    def terminate(self, jobs: Iterable[str], number: int = 0, *, at_once: bool = False) -> None:
        """Have *jobs*, all of them doomed at the broker, end as revoked if they are here; others are left alone.

        Those that wait for a slot do not begin; in those that run an exception is raised; a process that a job has of
        its own gets the signal *number* (0: SIGTERM). What runs on for a second is killed with its child, and ends by
        its doom: neighbours go back to the queue, uncharged. *at_once* (for SIGKILL): it is killed without a word.
        """
        order = Order(boot_seconds(), signal.SIGKILL if at_once else number, at_once)
        named = list(jobs)
        self._orders.update(dict.fromkeys(named, order))
        for child in self._living():
            child.interrupt(named, "revoked", order.signal)
        self.look(order.since)

    def withdraw(self, jobs: Iterable[str]) -> None:
        """Let *jobs*, all of them doomed at the broker, not begin here if they wait for a slot: they end as revoked.

        Those that run go on.
        """
        named = list(jobs)
        for child in self._living():
            child.interrupt(named, "withdrawn")

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look(boot_seconds())
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: float) -> None:
        """Do what is due at the moment *now*, in `boot_seconds`."""
        asked: dict[Limited, Why] = {}
        for child in list(self._living()):
            limited = child.board.limited()
            for job in limited:
                self._enforce(child, job, now, asked)
            if any(now >= job.hard + FREEZE_SECONDS + _patience(job) for job in limited):
                child.freeze()
            else:
                child.thaw()
            if self._orders:
                self._obey(child, {job.id: job for job in limited}, now)
        self._asked = asked
        if self._max_memory is not None and now >= self._weigh_at:
            self._weigh_at = now + WEIGH_SECONDS
            self._weigh(self._max_memory)
        self._orders = {job: order for job, order in self._orders.items() if now - order.since < LISTEN_SECONDS}

    def _weigh(self, most: int) -> None:
        for child in self._living():
            weight = 0 if child.stopped else kernel.resident(child.pid)
            if weight > most:
                text = "Child %d takes %d KiB, more than worker_max_memory_per_child: another one takes its place"
                logger.warning(text, child.pid, weight // 1024)
                child.retire()

    def _enforce(self, child: Watched, job: Limited, now: float, asked: dict[Limited, Why]) -> None:
        if now >= job.hard + TIMEOUT_GRACE_SECONDS + _patience(job):
            logger.warning("%s[%s] goes on after its time limit: its child is killed", job.task, job.id)
            child.doom(job.id, "timeout")
            return
        why: Why | None = "timeout" if now >= job.hard else "soft" if now >= job.soft else None
        if why is not None:
            if self._asked.get(job) != why:
                child.interrupt([job.id], why)
            asked[job] = why

    def _obey(self, child: Watched, limited: dict[str, Limited], now: float) -> None:
        for job in child.running():
            order = self._orders.get(job.id)
            if order is None:
                continue
            known = limited.get(job.id)
            grace = 0.0 if order.at_once else REVOKE_GRACE_SECONDS
            if now >= order.since + grace + (_patience(known) if known is not None else 0.0):
                logger.warning("%s[%s] is revoked and goes on: its child is killed", job.task, job.id)
                child.doom(job.id, "revoked")
            elif now - order.since >= LOOK_SECONDS:
                child.interrupt([job.id], "revoked", order.signal)  # it has begun since it was named


def _patience(job: Limited) -> float:
    """What the child of *job* is given to end it: one that has a process of its own needs no more than that killed."""
    return ISOLATED_PATIENCE_SECONDS if job.isolated else 0.0
