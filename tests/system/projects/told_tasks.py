"""Tasks that tell of themselves, each in another runner, and receivers of the worker's signals; for test_told."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from umbel import Context, Umbel, signals
from umbel.log import get_task_logger

BROKER = os.environ["UMBEL_TEST_BROKER"]
HEARD = os.environ["UMBEL_TEST_HEARD"]
MOMENTS = (
    *("celeryd_init", "worker_init", "worker_before_create_process", "worker_process_init", "worker_ready"),
    *("worker_shutting_down", "worker_process_shutdown", "worker_shutdown", "task_failure"),
)

app = Umbel("told_tasks", broker=BROKER, task_track_started=True)
logger = get_task_logger(__name__)


def hear(signal: signals.Signal, **_: Any) -> None:
    """Note the moment and the process."""
    with Path(HEARD).open("a") as file:
        file.write(f"{signal.name} {os.getpid()}\n")


for moment in MOMENTS:
    getattr(signals, moment).connect(hear)


@signals.celeryd_init.connect
def configure(conf: Any, **_: Any) -> None:
    """Change a setting before it counts."""
    conf.worker_max_crashes = 1


def wait_for(door: str) -> None:
    """Wait until the file *door* is there."""
    while not Path(door).exists():
        time.sleep(0.01)


def tell(self: Context, door: str) -> str:
    """Say HALF, and end when the file *door* is there."""
    logger.warning("half of it is done")
    self.update_state(state="HALF", meta={"pid": os.getpid()})
    wait_for(door)
    return self.request.id


in_thread = app.task(bind=True, name="told_tasks.thread")(tell)
in_process = app.task(bind=True, name="told_tasks.process", runner="process")(tell)


@app.task(bind=True, name="told_tasks.async")
async def on_loop(self: Context, door: str) -> str:
    """The same on the loop."""
    logger.warning("half of it is done")
    await self.aupdate_state(state="HALF", meta={"pid": os.getpid()})
    await asyncio.to_thread(wait_for, door)
    return self.request.id


@app.task(name="told_tasks.die", runner="process")
def die() -> None:
    """End the process."""
    os.abort()
