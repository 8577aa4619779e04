"""The health file: the verdict, renewed every second, for probes that run a command instead of asking a port."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from umbel.exceptions import ImproperlyConfigured
from umbel.worker.supervisor.health import Verdict


class HealthFile:
    """One JSON object: live, ready, reason, and *at*, the moment in seconds since the machine was started."""

    def __init__(self, path: Path) -> None:
        """Write to *path*. Raises `ImproperlyConfigured` if nobody may."""
        self._path = path
        self._next = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._write(Verdict())
        except OSError as error:
            raise ImproperlyConfigured(f"the health file {path} cannot be written: {error.strerror}") from error

    def tell(self, verdict: Verdict) -> None:
        """Replace what is there, in one step. A full disk leaves the old verdict, which grows old and fails then."""
        with contextlib.suppress(OSError):
            self._write(verdict)

    def remove(self) -> None:
        """Leave nothing behind."""
        for path in (self._path, self._next):
            with contextlib.suppress(OSError):
                path.unlink()

    def _write(self, verdict: Verdict) -> None:
        told = {"live": verdict.live, "ready": verdict.ready, "reason": verdict.reason, "at": verdict.at}
        self._next.write_text(json.dumps(told) + "\n", encoding="utf-8")
        self._next.replace(self._path)
