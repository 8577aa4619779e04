"""A worker in a thread, beside which its app is controlled."""

from __future__ import annotations

from pathlib import Path

from umbel import Umbel
from umbel.testing import worker

SOON = {"worker_lease": 1.5}
"""Seconds: whoever loses his connections is found out in a third of it."""


def test_whoever_controls_beside_a_worker_in_a_thread_takes_no_connection_from_it(tmp_path: Path) -> None:
    with Umbel("beside", broker=f"sqlite:///{tmp_path}/jobs.db", set_as_current=False, changes=SOON) as app:

        @app.task(name="beside.add")
        def add(x: int, y: int) -> int:
            return x + y

        with worker(app):
            for number in range(60):
                result = add.delay(number, 1)
                app.queues.pause("default")
                app.queues.resume("default")
                assert result.get(timeout=60) == number + 1
        assert [queue.running for queue in app.queues.list()] == [0]
