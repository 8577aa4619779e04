"""Health: alive means that each child got an answer from the broker lately, not that a process is there.

A child that runs as many jobs as it can asks for none, and that is no fault. One that should have asked and has heard
nothing for 10 s is deaf, unless the broker is away: then a fresh connection cannot reach it either, and a restart would
cure nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from umbel.brokers import connect
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.powers import Inspector
from umbel.exceptions import UmbelError
from umbel.worker.board import FULL, boot_seconds
from umbel.worker.supervisor.plan import Plan

LOOK_SECONDS: Final = 1.0
DEAF_SECONDS: Final = 10.0
BIRTH_SECONDS: Final = 60.0
"""How long a child may take before its first answer: what an app does in each new process takes its time."""
STALE_SECONDS: Final = 15.0
"""A verdict older than that is none: the supervisor itself hangs, or did."""
REACH_SECONDS: Final = 4.0
CLOSE_SECONDS: Final = 1.0
_PROBED: Final = "umbel-health"

logger = logging.getLogger("umbel.worker")


class Verdict(msgspec.Struct, frozen=True):
    """What a probe is told. *at* is in `boot_seconds`; *reason* says why the worker is not live or not ready."""

    live: bool = True
    ready: bool = False
    reason: str = "starting"
    at: float = 0.0


class Seen(Protocol):
    """A child, as far as its health goes."""

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether it was told to end, so that it receives nothing more."""
        ...

    @property
    def heard(self) -> float:
        """When the broker answered it last, see `Board.heard`."""
        ...

    @property
    def quiet(self) -> bool:
        """Whether it was told to receive nothing more, and goes on living."""
        ...

    def running(self) -> Sequence[object]:
        """The jobs that it runs."""
        ...


class Rounds:
    """Remembers, per child, when it was last seen to be well."""

    def __init__(self) -> None:
        self._well: dict[int, float] = {}
        self._looked = 0.0

    def deaf(self, children: Sequence[Seen], now: float) -> str:
        """Why one of *children* counts as deaf at *now*, in `boot_seconds`; empty if none does."""
        if now - self._looked > STALE_SECONDS:
            self._well = {}  # all of us were asleep, as with a machine that is suspended
        self._looked = now
        self._well = {child.pid: self._seen(child, now) for child in children if not _withheld(child)}
        for child in children:
            silent = now - self._well.get(child.pid, now)
            if child.heard == 0.0 and silent > BIRTH_SECONDS:
                return f"child {child.pid} has not received anything since it started, {silent:.0f} s ago"
            if child.heard != 0.0 and silent > DEAF_SECONDS:
                return f"child {child.pid} has had no answer to a receive for {silent:.0f} s"
        return ""

    def _seen(self, child: Seen, now: float) -> float:
        """When it was well: a full one is now, as long as it runs something."""
        before = self._well.get(child.pid, now)
        if child.heard == FULL:
            return now if child.running() else before
        return max(before, child.heard)


class Health:
    """Looks every second. *reach* tells whether a fresh connection gets an answer from the broker."""

    def __init__(self, children: Callable[[], Sequence[Seen]], reach: Callable[[], Awaitable[bool]]) -> None:
        """Nothing was looked at yet."""
        self._children = children
        self._reach = reach
        self._rounds = Rounds()
        self._verdict = Verdict(at=boot_seconds())
        self.stopping = False
        self.told: list[Callable[[Verdict], object]] = []
        """Called with each verdict."""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look(boot_seconds())
            for tell in self.told:
                tell(self._verdict)
            await asyncio.sleep(LOOK_SECONDS)

    def verdict(self) -> Verdict:
        """What there is to say now."""
        told = self._verdict
        age = boot_seconds() - told.at
        if age > STALE_SECONDS:
            return Verdict(live=False, reason=f"the supervisor has not looked for {age:.0f} s", at=told.at)
        if self.stopping:
            return Verdict(live=True, ready=False, reason="stopping", at=told.at)
        return told

    async def look(self, now: float) -> None:
        """Come to a verdict at *now*, in `boot_seconds`."""
        children = self._children()
        reason = self._rounds.deaf(children, now)
        if not reason:
            ready = any(child.heard and not _withheld(child) for child in children)
            why = "quiet" if any(child.quiet for child in children) else "starting"
            self._verdict = Verdict(live=True, ready=ready, reason="" if ready else why, at=now)
            return
        reached = await self._reach()
        text = f"{reason}, though the broker answers" if reached else "the broker is away"
        if reached and self._verdict.live:
            logger.critical("Not alive: %s", text)
        self._verdict = Verdict(live=not reached, ready=False, reason=text, at=boot_seconds())  # asking took its time


def _withheld(child: Seen) -> bool:
    """Whether it asks for no jobs because it was told so."""
    return child.stopped or child.quiet


async def reaches(plan: Plan) -> bool:
    """Whether the broker answers a connection that is made for this question, within a few seconds."""
    broker = connect(plan.settings.broker_url, plan.settings)
    queue = plan.queues[0]
    try:
        async with asyncio.timeout(REACH_SECONDS):
            if isinstance(broker, Inspector) and Power.LOOKUP in powers_of(broker):
                await broker.alocate(_PROBED, queue)
            elif isinstance(broker, Inspector):
                await broker.counts([queue])
            else:
                await broker.reclaim([queue], plan.lease)
    except (UmbelError, OSError, TimeoutError):
        return False
    finally:
        with contextlib.suppress(UmbelError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await broker.aclose()
    return True
