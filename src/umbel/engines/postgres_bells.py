"""Ringing after a commit: those who wait look at once. A ring that fails is no error; they look by themselves later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from umbel.engines.postgres import Engine
from umbel.engines.postgres_topics import ring
from umbel.exceptions import BrokerError

SOON_SECONDS: Final = 0.02
_MAX_PATIENCE_SECONDS: Final = 2.0


class _Pending:
    """What is to be told in one event loop; one ring is under way at a time, so those that pile up travel together."""

    __slots__ = ("begun", "ended", "queues", "task", "timer")

    def __init__(self) -> None:
        self.queues: Counter[str] = Counter()
        self.ended: list[str] = []
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.begun = float("-inf")


class Bells:
    """Rings over *engine*: before it returns, or later and together with others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending: dict[asyncio.AbstractEventLoop, _Pending] = {}
        self._spawned: set[asyncio.Task[Any]] = set()

    def ring(self, queues: Counter[str], ended: Sequence[str] = ()) -> None:
        """Wake for *queues* and *ended*, on this thread."""
        if queues or ended:
            with suppress(BrokerError):
                self._engine.call([ring(queues, ended)])

    async def aring(self, queues: Counter[str], ended: Sequence[str] = ()) -> None:
        """Wake for *queues* and *ended*."""
        if queues or ended:
            with suppress(BrokerError):
                await self._engine.acall([ring(queues, ended)])

    def ring_box(self, box: str) -> None:
        """Wake everybody who waits for a message in *box*, on this thread."""
        with suppress(BrokerError):
            self._engine.call([ring({}, box=box)])

    async def aring_box(self, box: str) -> None:
        """The async twin of `ring_box`."""
        with suppress(BrokerError):
            await self._engine.acall([ring({}, box=box)])

    def ring_later(self, queues: Counter[str], ended: Sequence[str] = ()) -> None:
        """The same, after the caller has gone on; in the running loop."""
        if not queues and not ended:
            return
        pending = self._here()
        pending.queues += queues
        pending.ended += ended
        self._begin(pending)

    def ring_soon(self, queues: Counter[str]) -> None:
        """The same, `SOON_SECONDS` after the ring before it at the earliest: for those that come with each receive."""
        pending, loop = self._here(), asyncio.get_running_loop()
        pending.queues |= queues
        left = pending.begun + SOON_SECONDS - loop.time()
        if left <= 0:
            self._begin(pending)
        elif pending.timer is None:
            pending.timer = loop.call_later(left, self._begin, pending)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Do *work* beside the caller; it may fail, as nobody waits for it."""

        async def quietly() -> None:
            with suppress(BrokerError):
                await work

        task = asyncio.get_running_loop().create_task(quietly())
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)

    async def flush(self) -> None:
        """Wait until all is told that was left for later in this loop."""
        loop = asyncio.get_running_loop()
        for task in [each for each in self._spawned if each.get_loop() is loop]:
            await asyncio.wait([task])
        pending = self._pending.pop(loop, None)
        if pending is not None and pending.timer is not None:
            self._begin(pending)
        if pending is not None and pending.task is not None:
            await asyncio.wait([pending.task], timeout=_MAX_PATIENCE_SECONDS)

    def _here(self) -> _Pending:
        loop = asyncio.get_running_loop()
        pending = self._pending.get(loop)
        if pending is None:
            for other in [other for other in self._pending if other.is_closed()]:
                del self._pending[other]
            pending = self._pending[loop] = _Pending()
        return pending

    def _begin(self, pending: _Pending) -> None:
        if pending.timer is not None:
            pending.timer.cancel()
            pending.timer = None
        if pending.task is None:
            loop = asyncio.get_running_loop()
            pending.begun = loop.time()
            pending.task = loop.create_task(self._ring_all(pending))

    async def _ring_all(self, pending: _Pending) -> None:
        try:
            while pending.queues or pending.ended:
                queues, ended = pending.queues, pending.ended
                pending.queues, pending.ended = Counter(), []
                await self.aring(queues, ended)
        finally:
            pending.task = None
