"""What systemd is told: READY, RELOADING, STOPPING, STATUS, and signs of life for its watchdog."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from umbel.worker.supervisor.health import Verdict

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notify:
    """Talks to the service manager, if it asked for that (``Type=notify``, ``WatchdogSec=``); else says nothing."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take its variables out of *environment*, so that no child or program of a task speaks in our name."""
        path, microseconds, pid = (environment.pop(name, "") for name in _VARIABLES)
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._watched = microseconds.isdecimal() and pid in ("", str(os.getpid()))
        # Three times within the limit, but no oftener than there is news.
        self._period = int(microseconds) / 3_000_000 if self._watched else 0.0
        self._next = 0.0

    def ready(self, status: str) -> None:
        """The worker receives jobs."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The app is loaded anew; `ready` is to follow."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reloading")

    def stopping(self, status: str) -> None:
        """The worker is about to end."""
        self._say(f"STOPPING=1\nSTATUS={status}")

    def sign(self, verdict: Verdict) -> None:
        """A sign of life, unless *verdict* says that there is none."""
        now = time.monotonic()
        if self._watched and verdict.live and now >= self._next:
            self._next = now + self._period
            self._say("WATCHDOG=1")

    def _say(self, text: str) -> None:
        if not self._path:
            return
        # Whatever is wrong with the service manager, it is no reason to run no jobs.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.setblocking(False)
            to.sendto(text.encode(), self._path)
