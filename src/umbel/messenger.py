"""Messenger: carries what the journals of a process's producers hold to the log of events, each in a thread of its own.

So a log that does not answer keeps nobody else's events back.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from umbel.aligning import LOOK_SECONDS
from umbel.journal import PERIOD_SECONDS, Journal

RETRY_SECONDS: Final = 1.0
GATHER_SECONDS: Final = 0.05
"""How often, within a period, to look whether a journal has enough for a batch already."""
FAREWELL_SECONDS: Final = 1.0
"""How long who ends or closes an app waits for events to leave, at most; what does not leave by then goes on beside."""
LINGER_SECONDS: Final = 10.0
"""How long a thread waits for more before it ends; the next event starts another."""


class Courier:
    """The thread of one journal, which is there while there is something to carry. Safe between threads and forks."""

    def __init__(self, journal: Journal) -> None:
        """See to *journal* as long as somebody else holds it."""
        self._journal = weakref.ref(journal)
        self.renew()

    def renew(self) -> None:
        """In a forked process: there is no thread yet."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._look_at = 0.0

    def wake(self) -> None:
        """There is something to carry."""
        with self._lock:
            self._news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="umbel-events", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._has_news():
            journal = self._journal()
            if journal is None:
                return
            self._news.clear()
            _gather(journal)
            if not journal.empty:  # its app may be closed meanwhile, and have sent all itself
                self._look(journal)
            if not journal.flush():
                self._news.set()
                time.sleep(RETRY_SECONDS)
            del journal  # nobody waits for news on its behalf

    def _look(self, journal: Journal) -> None:
        if journal.look is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            journal.look()

    def _has_news(self) -> bool:
        if self._news.wait(LINGER_SECONDS):
            return True
        with self._lock:
            if self._news.is_set():
                return True
            self._thread = None
            return False


def _gather(journal: Journal) -> None:
    end = time.monotonic() + PERIOD_SECONDS
    while time.monotonic() < end and not journal.full:
        time.sleep(GATHER_SECONDS)


class Farewell:
    """The last look at a journal: in a thread, as its log may be frozen, and nobody's work waits for events."""

    def __init__(self, journal: Journal) -> None:
        """Begin to send what *journal* holds, if anything."""
        self._journal = journal
        self._after: Callable[[], object] | None = None
        self._thread: threading.Thread | None = None
        if journal.idle:
            return
        thread = threading.Thread(target=self._run, name="umbel-farewell", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, and starts no threads any more
            journal.flush()
        else:
            self._thread = thread

    def wait(self, seconds: float = FAREWELL_SECONDS, after: Callable[[], object] | None = None) -> None:
        """Wait up to *seconds* until all was sent. If that is too short, *after* is called when it has ended."""
        if self._thread is None:
            return
        self._thread.join(max(0.0, seconds))
        self._after = after

    def _run(self) -> None:
        self._journal.flush()
        if self._after is not None:
            self._after()


class Messenger:
    """The couriers of a process."""

    def __init__(self) -> None:
        self._couriers: weakref.WeakKeyDictionary[Journal, Courier] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def carry(self, journal: Journal) -> None:
        """See to *journal* from now on, as long as somebody holds it."""
        courier = Courier(journal)
        with self._lock:
            self._couriers[journal] = courier
        journal.wake = courier.wake

    def flush(self) -> None:
        """Send all that is there now, as far as `FAREWELL_SECONDS` are enough.

        A log that did not answer last time is not waited for.
        """
        with self._lock:
            journals = list(self._couriers)
        end = time.monotonic() + FAREWELL_SECONDS
        for farewell in [Farewell(journal) for journal in journals if not journal.away]:
            farewell.wait(end - time.monotonic())

    def renew(self) -> None:
        """In a forked process: there is no thread yet."""
        self._lock = threading.Lock()
        for courier in list(self._couriers.values()):
            courier.renew()


messenger: Final = Messenger()
os.register_at_fork(after_in_child=messenger.renew)
atexit.register(messenger.flush)
