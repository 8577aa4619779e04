"""Shutdown and reload: which signal asks for what."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

ECHO_SECONDS: Final = 0.1
"""A signal this soon after the first is the same one: `timeout` and some init systems send theirs twice."""


class Signals:
    """The signals of a worker, inside its event loop.

    TERM or INT once: warm shutdown; again, or QUIT: cold. HUP: reload the app, or warm shutdown if it has a terminal.
    USR1: write the stacks of all threads to stderr. With REMAP_SIGTERM=SIGQUIT in the environment, as Celery has it,
    TERM is cold.
    """

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.warm = asyncio.Event()
        self.cold = asyncio.Event()
        self.reload = asyncio.Event()
        self.dump: Callable[[], None] | None = None
        """Called by USR1."""
        self.last = ""
        """The name of the signal that came last; empty: none came."""
        self._first = 0.0
        self._handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._stop_now if os.environ.get("REMAP_SIGTERM") == "SIGQUIT" else self._stop,
            signal.SIGINT: self._stop,
            signal.SIGQUIT: self._stop_now,
            signal.SIGHUP: self._hang_up,
            signal.SIGUSR1: self._dump,
            signal.SIGCHLD: reap,
        }

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for each in self._handlers:
            loop.add_signal_handler(each, self._take, each)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        loop = asyncio.get_running_loop()
        for each in self._handlers:
            loop.remove_signal_handler(each)

    def _take(self, number: signal.Signals) -> None:
        if number is not signal.SIGCHLD:
            self.last = number.name
        self._handlers[number]()

    def _stop(self) -> None:
        now = time.monotonic()
        if not self.warm.is_set():
            self._first = now
            self.warm.set()
        elif now - self._first > ECHO_SECONDS:
            self._stop_now()

    def _hang_up(self) -> None:
        # From a terminal it means that the terminal is gone, from anybody else that the code is new.
        if sys.stdin is not None and sys.stdin.isatty():
            self._stop()
        else:
            self.reload.set()

    def _dump(self) -> None:
        if self.dump is not None:
            self.dump()

    def _stop_now(self) -> None:
        self.warm.set()
        self.cold.set()


def reap() -> None:
    """Collect the processes that ended, also those of others: as process 1 of a container nobody else does it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
