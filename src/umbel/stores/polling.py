"""Waiting on a store that cannot call: all waits of a process share one thread and one look at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from math import inf
from typing import Final, TypeAlias

from umbel.model import chance

FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
"""How long the thread stays when nobody waits."""

Look: TypeAlias = Callable[[Collection[str]], Mapping[str, bytes]]


class Awaited:
    """One id that is waited for: by whom, when it was last looked for, how long to pause after that."""

    __slots__ = ("looked", "pause", "waiting")

    def __init__(self) -> None:
        self.waiting: set[Future[bytes]] = set()
        self.looked = -inf
        self.pause = FIRST_PAUSE_SECONDS / 2


class Poller:
    """Looks for awaited ids by *look*, which answers the records that are there, until each is found or given up.

    The pause of an id doubles from 50 ms to 1 s. An error of *look* ends the waits that it concerns.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._awaited: dict[str, Awaited] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def join(self, job_id: str) -> Future[bytes]:
        """Wait for *job_id* from now on; `leave` must follow."""
        future: Future[bytes] = Future()
        future.set_running_or_notify_cancel()  # from here on only the poller decides how it ends
        with self._changed:
            self._awaited.setdefault(job_id, Awaited()).waiting.add(future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="umbel-polling", daemon=True)
                self._thread.start()
            self._changed.notify()
        return future

    def leave(self, job_id: str, future: Future[bytes]) -> None:
        """Wait no more."""
        with self._changed:
            awaited = self._awaited.get(job_id)
            if awaited is None:
                return
            awaited.waiting.discard(future)
            if not awaited.waiting:
                del self._awaited[job_id]

    def _run(self) -> None:
        while ids := self._next_round():
            begun = time.monotonic()
            try:
                found = self._look(ids)
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                for future in self._pop(ids):
                    future.set_exception(error)
                continue
            for job_id, value in found.items():
                for future in self._pop([job_id]):
                    future.set_result(value)
            self._rest(ids, begun)

    def _next_round(self) -> list[str]:
        """The ids to look for next, when it is time; none when nobody has waited for a while."""
        # Drawn for each round: processes that began together do not stay together.
        share = chance.uniform(0.5, 1.0)
        with self._changed:
            while (left := self._seconds_left(share)) > 0:
                if not self._changed.wait(min(left, IDLE_SECONDS)) and not self._awaited:
                    self._thread = None
                    return []
            return self._chosen(time.monotonic())

    def _seconds_left(self, share: float) -> float:
        due = min((each.looked + each.pause * share for each in self._awaited.values()), default=inf)
        return due - time.monotonic()

    def _chosen(self, now: float) -> list[str]:
        """Whatever is half due is taken along: the more wait, the better they share."""
        chosen: list[str] = []
        for job_id, each in self._awaited.items():
            if now - each.looked >= each.pause / 2:
                each.looked = now
                each.pause = min(LONGEST_PAUSE_SECONDS, each.pause * 2)
                chosen.append(job_id)
        return chosen

    def _rest(self, ids: Collection[str], begun: float) -> None:
        """Pause after the look, not only since it began: a slow store is asked less often."""
        now = time.monotonic()
        with self._changed:
            for each in (self._awaited[job_id] for job_id in ids if job_id in self._awaited):
                each.looked = now
                each.pause = max(each.pause, min(LONGEST_PAUSE_SECONDS, now - begun))

    def _pop(self, ids: Collection[str]) -> list[Future[bytes]]:
        with self._changed:
            popped = [self._awaited.pop(job_id) for job_id in ids if job_id in self._awaited]
        return [future for each in popped for future in each.waiting]
