"""Tasks under limits, which write down when they start and end; the app of the tests of flow control."""

from __future__ import annotations

import os
import time
from pathlib import Path

from umbel import Umbel
from umbel.current import current_task

BROKER = os.environ["UMBEL_TEST_BROKER"]

app = Umbel("regulated_tasks", broker=BROKER, backend=BROKER)
_fd = os.open(os.environ["UMBEL_TEST_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def write(phase: str) -> None:
    """Add one line for the running job, as in ``ledger_tasks``."""
    os.write(_fd, f"{phase} {current_task.request.id} {os.getpid()} {time.time():.6f}\n".encode())


@app.task(rate_limit="10/s")
def paced() -> None:
    """Do nothing, but not often."""
    write("S")


@app.task
def free() -> None:
    """Do nothing, as often as anybody likes."""
    write("S")


def _stay(seconds: float) -> None:
    write("S")
    time.sleep(seconds)
    write("E")


@app.task(concurrency_limit=2)
def crowded(seconds: float) -> None:
    """Take *seconds*, beside one other at most."""
    _stay(seconds)


@app.task(concurrency_limit=2, runner="process")
def apart(seconds: float) -> None:
    """The same in a process of its own."""
    _stay(seconds)


@app.task(fair_key="tenant")
def fair(tenant: str) -> str:
    """Do nothing, in turn."""
    write("S")
    return tenant


@app.task(unique=True)
def alone(path: str) -> str:
    """Wait until somebody makes a file there."""
    write("S")
    while not Path(path).exists():
        time.sleep(0.01)
    return path
