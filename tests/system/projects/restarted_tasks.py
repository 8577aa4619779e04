"""The app of ``tests/system/restarts.py``: a job writes down its start, with what it was charged, and its end."""

from __future__ import annotations

import os
import time

from umbel import Context, Umbel

app = Umbel("restarted_tasks", broker=os.environ["UMBEL_TEST_BROKER"])

_fd = os.open(os.environ["UMBEL_TEST_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


@app.task(bind=True)
def work(self: Context, seconds: float) -> None:
    """Take *seconds*."""
    asked = self.request
    os.write(_fd, f"S {asked.id} {asked.retries} {asked.crashes}\n".encode())
    time.sleep(seconds)
    os.write(_fd, f"E {asked.id} 0 0\n".encode())
