"""Tasks that come to each end, in threads, on the loop and in processes of their own; for what is measured of them."""

from __future__ import annotations

import os

from umbel import Context, Umbel
from umbel.exceptions import Reject

BROKER = os.environ["UMBEL_TEST_BROKER"]

app = Umbel("counted_tasks", broker=BROKER, backend=BROKER)


@app.task
def add(x: int, y: int) -> int:
    """Add in a thread."""
    return x + y


@app.task
async def aadd(x: int, y: int) -> int:
    """Add on the loop."""
    return x + y


@app.task(runner="process")
def padd(x: int, y: int) -> int:
    """Add in a process."""
    return x + y


@app.task
def fail() -> None:
    """Fail for good."""
    raise ValueError("no")


@app.task
def reject() -> None:
    """Become a dead letter."""
    raise Reject("not that")


@app.task(bind=True, max_retries=2)
def stumble(self: Context) -> int:
    """Succeed at the third attempt."""
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return 3
