"""Sessions: opens one a child, renews all of them in one heartbeat, and grants trust only on a broker's answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from umbel.contracts.broker import Beat, Broker
from umbel.model.ids import new_session
from umbel.worker.board import boot_seconds
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import Plan

BEATS_A_LEASE: Final = 3
MIN_DEADLINE_SECONDS: Final = 1.0
NEWS_SECONDS: Final = 0.1
"""How long the first heartbeat of one waits for others that begin, too."""


class Holder(Protocol):
    """Whoever lives under a session: a child, seen from its lease."""

    @property
    def session(self) -> str:
        """Its session."""
        ...

    def info(self) -> bytes:
        """What the broker shall show of it."""
        ...

    def trust(self, until: float) -> None:
        """It may start jobs until *until*, in `boot_seconds`."""

    def lose(self) -> None:
        """The broker declared its session dead."""


class Sessions:
    """The open sessions of this worker."""

    def __init__(self, broker: Broker, plan: Plan, outage: Outage) -> None:
        """Hold none yet."""
        self._broker = broker
        self._plan = plan
        self._outage = outage
        self._holders: dict[str, Holder] = {}
        self._opened: dict[str, tuple[str, ...]] = {}
        self.beaten: Callable[[], None] | None = None
        """Called after each heartbeat that was answered."""
        self._news = asyncio.Event()
        self._deadline = max(MIN_DEADLINE_SECONDS, plan.lease / BEATS_A_LEASE)

    async def open(self, info: bytes, queues: tuple[str, ...] | None = None) -> tuple[str, float]:
        """A new session in *queues*, by default the plan's, and until when it is trusted; waits for the broker."""
        wanted = self._plan.queues if queues is None else queues
        while True:
            session, until, alive = await self._outage.insist(lambda: self._open(info, wanted), self._deadline)
            if alive:
                self._opened[session] = wanted
                return session, until

    def add(self, holder: Holder) -> None:
        """Renew the session of *holder* from now on; at once, for its process did not live yet when it was opened."""
        self._holders[holder.session] = holder
        self._news.set()

    def hurry(self) -> None:
        """Beat soon: there is something to be told."""
        self._news.set()

    def remove(self, holder: Holder) -> None:
        """Let the session of *holder* lapse, if nobody ends it before."""
        self._holders.pop(holder.session, None)
        self._opened.pop(holder.session, None)

    async def run(self) -> None:
        """Beat for ever."""
        period = self._plan.lease / BEATS_A_LEASE
        while True:
            before = boot_seconds()
            self._news.clear()
            if self._holders:
                await self._outage.insist(self._beat, self._deadline)
                if self.beaten is not None:
                    self.beaten()
            # From the moment of the last beat: a slow answer does not stretch the period.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, period - (boot_seconds() - before))):
                    await self._news.wait()
                    await asyncio.sleep(NEWS_SECONDS)

    async def _open(self, info: bytes, queues: tuple[str, ...]) -> tuple[str, float, bool]:
        # A fresh id each time: an opening whose answer was lost would be refused when it is repeated.
        session = new_session()
        sent = boot_seconds()
        plan = self._plan
        (alive,) = await self._broker.heartbeat([Beat(session, info)], queues, plan.lease, opening=True)
        return session, sent + plan.trust, alive

    async def _beat(self) -> None:
        # One heartbeat for all, but while a worker changes its queues: a session lives in those it was opened in.
        groups: dict[tuple[str, ...], list[Holder]] = {}
        for session, holder in self._holders.items():
            groups.setdefault(self._opened.get(session, self._plan.queues), []).append(holder)
        for queues, holders in groups.items():
            await self._beat_in(queues, holders)

    async def _beat_in(self, queues: tuple[str, ...], holders: list[Holder]) -> None:
        beats = [Beat(holder.session, holder.info()) for holder in holders]
        # Trust counts from here. The broker counts from when it hears us, which is later, so trust ends first; and a
        # supervisor that was frozen meanwhile grants a moment that has passed already.
        sent = boot_seconds()
        alive = await self._broker.heartbeat(beats, queues, self._plan.lease)
        for holder, lives in zip(holders, alive, strict=True):
            if self._holders.get(holder.session) is not holder:
                continue  # it ended while the beat was on its way: nobody is left to be told
            if lives:
                holder.trust(sent + self._plan.trust)
                continue
            self.remove(holder)
            holder.lose()
