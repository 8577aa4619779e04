"""Companion: the dashboard as a process beside that of another command, which ends with it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

from umbel.cli.command import Frame
from umbel.worker import kernel

END_SECONDS: Final = 10.0
NEEDED: Final = ("starlette", "jinja2", "uvicorn")
CURE: Final = 'pip install "umbel[dashboard]"'


@contextmanager
def dashboard_beside(frame: Frame, app: str, port: int | None) -> Generator[None]:
    """Serve the dashboard of *app* at *port*, None: the usual one or another that is free, for this block.

    Whatever becomes of it, the block goes on. Without the packages that it needs there is none, and that is said.
    """
    if any(find_spec(name) is None for name in NEEDED):
        frame.say(f"No dashboard, and nobody records: {CURE}")
        yield
        return
    # Whether a port is free it finds out by taking it: another one may have done so since anybody looked.
    where = ["--host", "127.0.0.1", *(["--any-port"] if port is None else ["--port", str(port)])]
    command = [sys.executable, "-m", "umbel", "-A", app, "dashboard", *where, "--log-format", "text"]
    parent = os.getpid()
    process = subprocess.Popen(  # noqa: S603 - this Python, with our own arguments
        command,
        preexec_fn=lambda: kernel.die_with_parent(parent, signal.SIGTERM),  # noqa: PLW1509 - no thread has begun yet
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
