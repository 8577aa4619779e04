"""Time limits in a worker that is a thread of the test."""

from __future__ import annotations

import asyncio
import time

import pytest

from umbel import Umbel
from umbel.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from umbel.testing import worker

SECONDS = 60.0


def test_jobs_are_told_of_their_limits_and_the_worker_goes_on() -> None:
    app = Umbel("limits", broker="memory://testing-limits", set_as_current=False, task_time_limit=50)

    @app.task(soft_time_limit=0.5)  # not before it has begun, on a busy machine either
    def clean_up() -> str:
        try:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                pass
        except SoftTimeLimitExceeded:
            return "cleaned up"
        return "not told"

    @app.task(time_limit=0.05)
    async def wait() -> None:
        await asyncio.sleep(SECONDS)

    @app.task(soft_time_limit=40)
    def quick() -> int:
        return 1

    with worker(app):
        assert clean_up.delay().get(timeout=SECONDS) == "cleaned up"
        with pytest.raises(TimeLimitExceeded):
            wait.delay().get(timeout=SECONDS)
        assert quick.delay().get(timeout=SECONDS) == 1
