"""Who waits for which job, and the one thread of this process that hears of their ends."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from umbel.engines.sqlite_bells import NEWS, Bell, Bells, ids_in

LOOK_AGAIN_SECONDS: Final = 1.0
"""A ring can be lost when a socket is full; so everybody who waits looks for himself this often."""
POLLING_SECONDS: Final = 0.05
"""The same where sockets do not work."""
LINGER_SECONDS: Final = 5.0
"""How long the thread stays when nobody waits any more."""


class Listener:
    """Calls those who wait for a job when it has ended. Safe between threads, event loops and forks."""

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self._hearing: dict[int, Hearing] = {}

    @contextmanager
    def expecting(self, job_id: str, wake: Callable[[], object]) -> Generator[None]:
        """Inside the block *wake* is called, from any thread, when *job_id* may have ended."""
        hearing = self._ours()
        hearing.join(job_id, wake)
        try:
            yield
        finally:
            hearing.leave(job_id, wake)

    def close(self) -> None:
        """End the thread of this process; the next wait starts it again."""
        hearing = self._hearing.get(os.getpid())
        if hearing is not None:
            hearing.close()

    def _ours(self) -> Hearing:
        # No lock here: a fork copies a lock that another thread holds. setdefault lets exactly one win.
        return self._hearing.get(os.getpid()) or self._hearing.setdefault(os.getpid(), Hearing(self._bells))


class Hearing:
    """The waits of one process. Its thread lives while there are some, and a little longer."""

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self._lock = threading.Lock()
        self._waiting: dict[str, set[Callable[[], object]]] = {}
        self._thread: threading.Thread | None = None
        self._bell: Bell | None = None
        self._closing = False

    def join(self, job_id: str, wake: Callable[[], object]) -> None:
        """Call *wake* whenever *job_id* may have ended."""
        with self._lock:
            self._waiting.setdefault(job_id, set()).add(wake)
            self._ensure_thread()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            # Bound before anybody looks for his job: an end after that look is heard.
            self._bell = self._bells.make(NEWS)
            self._thread = threading.Thread(target=self._listen, name="umbel-results", daemon=True)
            self._thread.start()

    def leave(self, job_id: str, wake: Callable[[], object]) -> None:
        """Take back what `join` did."""
        with self._lock:
            waiting = self._waiting.get(job_id, set())
            waiting.discard(wake)
            if not waiting:
                self._waiting.pop(job_id, None)

    def close(self) -> None:
        """End the thread; one that is still needed, because others of this process wait, starts anew."""
        with self._lock:  # one that is in the making is not there yet
            thread, bell = self._thread, self._bell
            self._closing = thread is not None
        if thread is None:
            return
        if bell is not None:
            self._bells.nudge(bell)
        thread.join()
        self._closing = False
        with self._lock:
            if self._waiting:
                self._ensure_thread()

    def _listen(self) -> None:
        needed = time.monotonic()
        while True:
            heard = self._next()
            with self._lock:
                if self._waiting:
                    needed = time.monotonic()
                if self._closing or time.monotonic() - needed > LINGER_SECONDS:
                    return self._stop()
                wakes = self._wakes(heard)
            for wake in wakes:
                wake()

    def _next(self) -> list[str]:
        if self._bell is None:
            time.sleep(POLLING_SECONDS)
            return []
        heard = self._bell.wait(LOOK_AGAIN_SECONDS)
        return [] if heard is None else ids_in(heard)

    def _wakes(self, job_ids: list[str]) -> list[Callable[[], object]]:
        keys = [job_id for job_id in job_ids if job_id in self._waiting] if job_ids else list(self._waiting)
        return [wake for key in keys for wake in self._waiting[key]]

    def _stop(self) -> None:
        if self._bell is not None:
            self._bell.close()
        self._bell = self._thread = None


class Ear:
    """One wait in one event loop, woken from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread; the loop may be gone by now."""
        try:
            self._loop.call_soon_threadsafe(self._heard.set)
        except RuntimeError:  # closed: nobody waits any more
            return

    async def wait(self, seconds: float | None) -> None:
        """Wait until woken, at most *seconds*; then ready for the next wait."""
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return
        self._heard.clear()
