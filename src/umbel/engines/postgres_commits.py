"""Ringing for jobs that were sent in transactions of the user's own: as soon as those have committed, and not before.

Nobody tells us of a commit, and a notification inside the transaction would have all commits of the database queue up.
So a thread looks, while there is something to look for.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Final

from umbel.engines.postgres import Engine
from umbel.engines.postgres_bells import Bells
from umbel.engines.postgres_command import Query
from umbel.engines.postgres_connection import SQL
from umbel.engines.postgres_values import plain
from umbel.exceptions import BrokerError

FIRST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 60.0
"""How long a transaction is waited for; whoever waits for work looks by himself every few seconds."""


class Commits:
    """Transactions that have sent something and are open yet, and the thread that looks whether they still are."""

    _thread: threading.Thread | None

    def __init__(self, engine: Engine, bells: Bells) -> None:
        self._engine = engine
        self._bells = bells
        self._start_anew()

    @staticmethod
    def number() -> Query:
        """The statement that tells the number of the transaction in which it is carried out."""
        return SQL("postgres_waking.transaction")

    def ring_after(self, transaction: str, queues: Counter[str]) -> None:
        """Wake for *queues* when *transaction* has committed."""
        if self._pid != os.getpid():
            self._start_anew()  # in the parent there may be a thread; here is none
        with self._lock:
            known, _ = self._open.get(transaction, (Counter[str](), 0.0))
            self._open[transaction] = known + queues, time.monotonic() + PATIENCE_SECONDS
            if self._thread is None:
                self._closing.clear()
                self._thread = threading.Thread(target=self._look, name="umbel-commits", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the thread; what it waited for is found by those who wait for work."""
        if self._pid != os.getpid():
            return
        with self._lock:  # one that is in the making is not there yet
            thread = self._thread
        if thread is not None:
            self._closing.set()
            thread.join()

    def _start_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: dict[str, tuple[Counter[str], float]] = {}
        self._thread = None

    def _look(self) -> None:
        pause, looked_for = FIRST_PAUSE_SECONDS, 0
        while not self._closing.wait(pause):
            with self._lock:
                transactions = list(self._open)
                if not transactions:
                    self._thread = None
                    return
            with suppress(BrokerError):
                self._bells.ring(self._committed(transactions))
            pause = FIRST_PAUSE_SECONDS if len(transactions) > looked_for else min(1.5 * pause, LONGEST_PAUSE_SECONDS)
            looked_for = len(transactions)
        with self._lock:
            self._thread = None

    def _committed(self, transactions: list[str]) -> Counter[str]:
        """For what to ring now; what is over is forgotten."""
        (fates,) = self._engine.call([SQL("postgres_waking.fates", plain(transactions))])
        rung: Counter[str] = Counter()
        now = time.monotonic()
        with self._lock:
            for transaction, fate in fates:
                queues, until = self._open[transaction]
                if fate == "committed":
                    rung += queues
                if fate != "in progress" or now > until:
                    del self._open[transaction]
        return rung
