"""Limiting: shows the limits of a queue as they stand, and lets another rate count for a task in the whole cluster."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from umbel.admitting import limit_store
from umbel.app.seat import Seat, known_queues
from umbel.contracts.capabilities import Power, powers_of
from umbel.contracts.limits import LimitStore, Standing
from umbel.contracts.mailbox import MailboxHolder
from umbel.exceptions import BrokerError, ImproperlyConfigured
from umbel.model.limit import Pace
from umbel.options import Rate, checked_queue, nearest, rate_interval
from umbel.regulation import Regulation, regulation_of
from umbel.routing import queue_of
from umbel.wire.letters import BOX, RATES, Order, encode

PAGE: Final = 1_000
TELLING_SECONDS: Final = 60.0
"""How late workers may hear that there is another rate; those that do not, look by themselves."""
_TOLERANCE: Final = 1e-6
_UNITS: Final = ((1.0, "s"), (60.0, "m"), (3_600.0, "h"))


class LimitInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How one limit stands: the task and the key that it counts, what it allows, and how many of its jobs are where.

    *rate* is as one writes it, empty without one; *concurrency* 0: any number. *adjusted*: somebody has set the rate.
    *held* jobs wait for it, *released* ones may start, *running* ones have; *turns* counts those who have jobs held.
    """

    queue: str
    task: str
    key: str
    rate: str
    concurrency: int
    adjusted: bool
    held: int
    released: int
    running: int
    turns: int


class Limiting:
    """Reads and sets the limits at the broker of *seat*. Raises `ImproperlyConfigured` if that keeps none."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    def limits(self, queue: str) -> Iterator[LimitInfo]:
        """The limits of *queue* that have jobs, or another rate than in the code; read in pages."""
        store, after = self._store(f"limiting jobs of {queue}"), ""
        while page := store.limits(queue, after, PAGE):
            yield from (_info(queue, standing) for _, standing in page)
            after = page[-1][0]

    async def aadjust(self, task: str, rate: Rate | None, queues: Sequence[str]) -> list[str]:
        """Let *rate* count for *task* in *queues*; None: that of the code. Answers the queues.

        By default it is the queue of the task, and all in which it has jobs under a limit; if it has no limits, so that
        nobody can tell where its jobs are, all queues that there are. Workers are told, and read what the broker keeps.
        """
        interval = None if rate is None else rate_interval(rate, "rate")
        if task not in self._seat.tasks:
            raise ImproperlyConfigured(f"no task {task!r} is registered here{nearest(task, self._seat.tasks)}")
        store = self._store(f"limiting {task}")
        regulation = self._regulation(task, interval)
        concurrency = 0 if regulation is None else regulation.pace(self._seat.conf).concurrency
        pace = None if interval is None else Pace(concurrency, interval)
        anywhere = pace is not None and not (regulation is not None and regulation.counts(self._seat.conf))
        found = [checked_queue(queue) for queue in queues] or await self._queues_of(task, store, anywhere=anywhere)
        for queue in found:
            await store.aadjust(queue, task, pace)
        await self._tell()
        return found

    async def _queues_of(self, task: str, store: LimitStore, *, anywhere: bool) -> list[str]:
        own = queue_of(self._seat.tasks[task], self._seat.conf)
        others = [name for name in await known_queues(self._seat, ()) if name != own]
        return [own, *[name for name in others if anywhere or await _has(store, name, task)]]

    async def _tell(self) -> None:
        """Have workers look now; those that do not hear it look a few seconds later."""
        broker: object = self._seat.broker
        if isinstance(broker, MailboxHolder) and Power.MAILBOX in powers_of(broker):
            order = Order(verb=RATES, until=time.time() + TELLING_SECONDS)
            with contextlib.suppress(BrokerError):
                await broker.mailbox.atell(BOX, [encode(order)], TELLING_SECONDS)

    def _store(self, what: str) -> LimitStore:
        return limit_store(self._seat, what)

    def _regulation(self, task: str, interval: float | None) -> Regulation | None:
        if interval and self._seat.conf.worker_disable_rate_limits:
            raise ImproperlyConfigured(f"worker_disable_rate_limits is set: no rate counts, and none for {task} would")
        return regulation_of(self._seat.tasks[task], self._seat.conf)


async def _has(store: LimitStore, queue: str, task: str) -> bool:
    """Whether *task* has a limit with jobs, or an adjusted one, in *queue*."""
    after = ""
    while page := await store.alimits(queue, after, PAGE):
        if any(standing.limit.task == task for _, standing in page):
            return True
        after = page[-1][0]
    return False


def rate_text(interval: float) -> str:
    """The rate that leaves *interval* seconds between two starts, as one writes it; empty for any rate."""
    if not interval:
        return ""
    rates = [(size / interval, unit) for size, unit in _UNITS]
    whole = [each for each in rates if round(each[0]) and abs(each[0] - round(each[0])) < _TOLERANCE * each[0]]
    number, unit = whole[0] if whole else rates[-1]
    return f"{round(number, 6):g}/{unit}"


def _info(queue: str, standing: Standing) -> LimitInfo:
    return LimitInfo(
        queue=queue,
        task=standing.limit.task,
        key=standing.limit.key,
        rate=rate_text(standing.pace.interval),
        concurrency=standing.pace.concurrency,
        adjusted=standing.adjusted,
        held=standing.held,
        released=standing.out,
        running=standing.entered,
        turns=standing.turns,
    )
