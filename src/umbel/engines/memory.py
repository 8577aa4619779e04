"""Memory as an engine: named spaces of this process, and bells that wake whoever waits in a thread or an event loop."""

from __future__ import annotations

import asyncio
import heapq
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from umbel.engines.address import masked
from umbel.engines.memory_boxes import Boxes
from umbel.engines.memory_flow import RunningFlow
from umbel.engines.memory_log import Log
from umbel.engines.memory_queue import Queue
from umbel.exceptions import ImproperlyConfigured
from umbel.model.job import Job

_URL: Final = re.compile(r"memory:(?://)?([A-Za-z0-9._-]*)")


class Bell:
    """Wakes those who wait for a key. Every method is called under the lock of the space, so no ring is missed."""

    def __init__(self) -> None:
        self.waiting: dict[str, set[Callable[[], object]]] = {}

    def join(self, keys: Iterable[str], wake: Callable[[], object]) -> None:
        """Have *wake* called at the next ring of any of *keys*."""
        for key in keys:
            self.waiting.setdefault(key, set()).add(wake)

    def leave(self, keys: Iterable[str], wake: Callable[[], object]) -> None:
        """Take back what `join` did; doing so twice is harmless."""
        for key in keys:
            waiting = self.waiting.get(key, set())
            waiting.discard(wake)
            if not waiting:
                self.waiting.pop(key, None)

    def ring(self, key: str) -> None:
        """Wake everybody who waits for *key*: whoever finds nothing waits again, so no wake-up can get lost."""
        for wake in self.waiting.pop(key, ()):
            wake()


class Ear:
    """One wait in one event loop, woken from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread."""
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._heard.set)

    async def wait(self, seconds: float | None) -> None:
        """Wait until woken, at most *seconds* (None: for ever)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()


class Space:
    """All queues and records of one name; every step on them is taken under *lock*, which nobody holds while waiting.

    *work* rings by queue name when there is something to receive, *news* by job id when its record arrives. *mail*
    by box, *watch* when the log of events has more. *opening* are the jobs that opened nodes of flows have left to
    send.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.queues: dict[str, Queue] = {}
        self.records: dict[str, tuple[bytes, float]] = {}
        self.claims: dict[str, tuple[str, float]] = {}
        self.schedules: dict[str, tuple[int, bytes]] = {}
        self.schedule_revision = 0
        self.flows: dict[str, RunningFlow] = {}
        self.opening: deque[deque[Job]] = deque()
        self.boxes = Boxes()
        self.log = Log()
        self.work = Bell()
        self.news = Bell()
        self.mail = Bell()
        self.watch = Bell()
        self._expiring: list[tuple[float, str]] = []

    def queue(self, name: str) -> Queue:
        """The queue of that name, made at its first mention."""
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = Queue()
        return found

    def glance(self, name: str) -> Queue:
        """The queue of that name to be read only: an empty one, which is not kept, if there is none."""
        return self.queues.get(name) or Queue()

    def record(self, job_id: str, now: float) -> bytes | None:
        """The terminal record of *job_id* unless it has expired; empty for a job that ended without one."""
        found = self.records.get(job_id)
        return found[0] if found is not None and found[1] > now else None

    def keep(self, job_id: str, record: bytes, ttl: float, now: float) -> None:
        """Store a terminal record for *ttl* seconds unless there is one: the first record wins."""
        self._sweep(now)
        if job_id in self.records:
            return
        self.claims.pop(job_id, None)
        self.records[job_id] = (record, now + ttl)
        heapq.heappush(self._expiring, (now + ttl, job_id))
        self.news.ring(job_id)

    def _sweep(self, now: float) -> None:
        while self._expiring and self._expiring[0][0] <= now:
            _, job_id = heapq.heappop(self._expiring)
            if self.record(job_id, now) is None:  # one that was forgotten and stored again expires later
                self.records.pop(job_id, None)


_spaces: Final[dict[str, Space]] = {}
_opening: Final = threading.Lock()


def space(url: str) -> Space:
    """The space that *url* names: ``memory://`` or ``memory://name``. Raises `ImproperlyConfigured`."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ImproperlyConfigured(f"{masked(url)!r} is no address in memory: use memory:// or memory://name")
    with _opening:
        return _spaces.setdefault(match[1], Space())
