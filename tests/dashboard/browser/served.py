"""Served: a dashboard under an address of its own, in a thread, for browsers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn

from tests.dashboard.stage import Stage
from umbel.dashboard.options import Options
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.history import History

DEADLINE_SECONDS: Final = 60.0


@contextmanager
def served(stage: Stage, options: Options | None = None) -> Generator[str]:
    """The address at which the dashboard of *stage* answers meanwhile."""
    listener = socket.create_server(("127.0.0.1", 0))
    station = Station(stage.app, options or Options(), History(stage.archive))
    made = site(station)
    config = uvicorn.Config(
        made, log_config=None, access_log=False, ws="none", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="dashboard", daemon=True)
    thread.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not server.started:
        assert time.monotonic() < deadline, "the dashboard does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        made.state.end_streams()
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)
        listener.close()
