"""Shutdown: which signal asks for what."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

ECHO_SECONDS: Final = 0.1
"""A signal this soon after the first is the same one: `timeout` and some init systems send theirs twice."""

logger = logging.getLogger("umbel.worker")


class Signals:
    """The signals of a worker, inside its event loop: TERM or INT once is warm, again is cold; QUIT is cold."""

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.warm = asyncio.Event()
        self.cold = asyncio.Event()
        self._first = 0.0
        self._handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGQUIT: self._stop_now,
            signal.SIGHUP: self._reload,
            signal.SIGCHLD: reap,
        }

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for each, handler in self._handlers.items():
            loop.add_signal_handler(each, handler)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        loop = asyncio.get_running_loop()
        for each in self._handlers:
            loop.remove_signal_handler(each)

    def _stop(self) -> None:
        now = time.monotonic()
        if not self.warm.is_set():
            self._first = now
            self.warm.set()
        elif now - self._first > ECHO_SECONDS:
            self._stop_now()

    def _stop_now(self) -> None:
        self.warm.set()
        self.cold.set()

    def _reload(self) -> None:
        logger.warning("SIGHUP: reloading is not supported; restart the worker to load new code")


def reap() -> None:
    """Collect the processes that ended, also those of others: as process 1 of a container nobody else does it."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
