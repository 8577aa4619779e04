"""Messenger: one thread of a process that carries what its producers' journals hold to the log of events."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import Final

from umbel.journal import PERIOD_SECONDS, Journal

RETRY_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.05
"""How often, within a period, to look whether a journal has enough for a batch already."""


class Messenger:
    """The thread, which starts with the first event and sleeps while there is none. Safe between threads and forks."""

    def __init__(self) -> None:
        self._journals: weakref.WeakSet[Journal] = weakref.WeakSet()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None

    def carry(self, journal: Journal) -> None:
        """See to *journal* from now on, as long as somebody holds it."""
        with self._lock:
            self._journals.add(journal)
        journal.wake = self._wake

    def flush(self) -> None:
        """Send all that is there now; a log that did not answer last time is not waited for."""
        for journal in self._carried():
            if not journal.away:
                journal.flush()

    def renew(self) -> None:
        """In a forked process: there is no thread yet."""
        self._begin()

    def _carried(self) -> list[Journal]:
        with self._lock:
            return list(self._journals)

    def _wake(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="umbel-events", daemon=True)
                    self._thread.start()
        self._news.set()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            self._gather()
            taken = [journal.flush() for journal in self._carried()]
            if not all(taken):
                time.sleep(RETRY_SECONDS)
                self._news.set()

    def _gather(self) -> None:
        end = time.monotonic() + PERIOD_SECONDS
        while time.monotonic() < end and not any(journal.full for journal in self._carried()):
            time.sleep(LOOK_SECONDS)


messenger: Final = Messenger()
os.register_at_fork(after_in_child=messenger.renew)
atexit.register(messenger.flush)
