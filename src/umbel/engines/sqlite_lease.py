"""Time and life on one host: a lease clock that no clock step moves, and lock files that die with their process."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_LEASE_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_SUFFIX: Final = ".lock"
STALE_SECONDS: Final = 60.0


class Clock:
    """Milliseconds: *wall* for due times and expiry, *lease* for leases. One *injected* clock stands for both."""

    def __init__(self, injected: Callable[[], float] | None = None) -> None:
        self._injected = injected

    def wall(self) -> int:
        """Unix time in ms."""
        return int((self._injected or time.time)() * 1000)

    def lease(self) -> int:
        """Ms since boot, sleep included: no step of the wall clock moves it, and all processes of one boot share it."""
        if self._injected is not None:
            return int(self._injected() * 1000)
        return time.clock_gettime_ns(_LEASE_CLOCK) // 1_000_000


@cache
def boot_id() -> str:
    """Which boot of the machine this is: leases of an earlier one mean nothing. Empty where it cannot be told."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Lifeline:
    """A lock file in *folder* that is held for as long as this process lives, whatever ends it.

    A process that forks would pass the lock on: a supervisor starts its children through a process of its own (exec
    closes the file). After a fork the child takes a new lifeline for sessions that it opens itself.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = 0
        self._name = ""
        self._descriptor = -1

    def hold(self) -> str:
        """Take the lock, once per process; answers the name of the file."""
        if self._pid != os.getpid():
            self._folder.mkdir(exist_ok=True)
            name = f"{secrets.token_hex(8)}{_SUFFIX}"
            self._descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            self._pid, self._name = os.getpid(), name
        return self._name

    def is_cut(self, name: str) -> bool:
        """Tell whether the process that held lifeline *name* is gone. A file that is missing proves nothing."""
        if self._pid == os.getpid() and name == self._name:
            return False
        try:
            descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see each other
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)

    def sweep(self, needed: set[str]) -> None:
        """Delete the files of processes that are gone, except those *needed* to tell that a session is dead."""
        for entry in os.scandir(self._folder):
            if not entry.name.endswith(_SUFFIX) or entry.name in needed:
                continue
            try:
                # A young file may belong to a process that is just about to lock it.
                if time.time() - entry.stat().st_mtime > STALE_SECONDS and self.is_cut(entry.name):
                    (self._folder / entry.name).unlink()
            except FileNotFoundError:  # another process sweeps too
                continue

    def release(self) -> None:
        """Let go: sessions opened by this process count as dead from now on."""
        if self._pid == os.getpid():
            os.close(self._descriptor)
            self._pid = 0
