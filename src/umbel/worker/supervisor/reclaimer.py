"""Reclaimer: tells the broker of children that ended, takes back what others left behind, asks for parked jobs.

If priorities age, it lets jobs rise, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import Final

from umbel.contracts.ageing import Ageing
from umbel.contracts.broker import Broker, Ended, Reclaimed
from umbel.model import chance
from umbel.model.job import Doom
from umbel.worker.supervisor.outage import Outage
from umbel.worker.supervisor.plan import Plan

MAX_INTERVAL_SECONDS: Final = 5.0
FULL_BATCH: Final = 200
JITTER_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 5.0


class Reclaimer:
    """One loop; `end` wakes it."""

    def __init__(self, broker: Broker, plan: Plan, outage: Outage) -> None:
        """Nothing to tell yet."""
        self._broker = broker
        self._plan = plan
        self._queues = plan.queues
        self._tasks = plan.tasks
        self._outage = outage
        self._ended: list[Ended] = []
        self._news = asyncio.Event()
        self._ageing = Ageing(broker, plan.settings.task_priority_ageing, plan.broker)
        self._interval = self._ageing.interval(min(MAX_INTERVAL_SECONDS, plan.lease / 3))
        self._unpark_at = 0.0

    def end(self, session: str, started: tuple[str, ...] = (), doomed: tuple[tuple[str, Doom], ...] = ()) -> None:
        """Close *session*, whose process is gone: each job of *started* is charged a crash, the others nothing.

        Those of *doomed* end by their doom.
        """
        self._ended.append(Ended(session, started, doomed))
        self._news.set()

    def serve(self, queues: tuple[str, ...]) -> None:
        """Look after *queues*, too; those that were served before may hold jobs of children that are ending."""
        self._queues = tuple(dict.fromkeys((*self._queues, *queues)))
        self._news.set()

    def know(self, tasks: tuple[str, ...]) -> None:
        """Take parked jobs of *tasks* from now on: the code has been loaded anew."""
        self._tasks, self._unpark_at = tasks, 0.0
        self._news.set()

    async def run(self) -> None:
        """Reclaim for ever: at once when there is news, and in time for what is known to fall due."""
        while True:
            self._news.clear()
            answer = Reclaimed()
            if self._ended or not self._holding_off():
                answer = await self._outage.insist(self._reclaim, DEADLINE_SECONDS)
            if answer.promoted + answer.returned >= FULL_BATCH or self._ended:
                continue
            if time.monotonic() >= self._unpark_at:
                await self._outage.insist(self._unpark, DEADLINE_SECONDS)
            if self._ageing.wanted:
                await self._outage.insist(partial(self._ageing.age, self._queues), DEADLINE_SECONDS)
            # Not wait_for: before Python 3.12 that forgets a cancellation which meets the news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause(answer)):
                    await self._news.wait()

    async def drain(self) -> None:
        """Tell the broker of every session that has ended. Raises what the broker raises; the caller sets the limit."""
        while self._ended:
            await self._reclaim()

    async def _reclaim(self) -> Reclaimed:
        told = tuple(self._ended)
        answer = await self._broker.reclaim(self._queues, self._plan.lease, told)
        if answer.promoted + answer.returned < FULL_BATCH:  # else some of their jobs are still to be moved
            self._ended = [ended for ended in self._ended if ended not in told]
        return answer

    async def _unpark(self) -> None:
        """Take the jobs that workers who do not know their tasks have set aside."""
        await self._broker.unpark(self._queues, self._tasks)
        self._unpark_at = time.monotonic() + MAX_INTERVAL_SECONDS

    def _holding_off(self) -> bool:
        # After an outage that cost us heartbeats it cost the others theirs, too: nobody is dead for that alone.
        if self._outage.last_seconds <= self._plan.lease / 2:
            return False
        return time.monotonic() < self._outage.back_at + self._plan.lease

    def _pause(self, answer: Reclaimed) -> float:
        deadline = answer.next_deadline
        if deadline is None or not 0 < deadline < self._interval:
            return self._interval
        # All workers wait for the same moment; the first to come does the work.
        return min(self._interval, deadline + chance.uniform(0, JITTER_SECONDS))
