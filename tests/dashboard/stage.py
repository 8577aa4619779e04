"""A stage for the dashboard: an app on an SQLite file, a worker in a thread, the real recorder, and a client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from umbel import Umbel
from umbel.dashboard.options import Options
from umbel.dashboard.site import site
from umbel.dashboard.station import Station
from umbel.history import History
from umbel.history.archives import archive_at
from umbel.history.recorder import Recorder
from umbel.history.recording import source_of
from umbel.history.retention import terms_of
from umbel.history.sampling import Sampler
from umbel.messenger import messenger
from umbel.testing import worker

DEADLINE_SECONDS: Final = 60.0
HOST: Final = "http://127.0.0.1:5555"
OURS: Final = {"Umbel-Request": "1", "Sec-Fetch-Site": "same-origin"}
"""What a page of ours sends along when it does something."""


class Stage:
    """*app* with what happens to its jobs recorded in *folder*. Sync: it is used by fixtures of any scope."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.app: Final = Umbel("shop", f"sqlite:///{folder}/umbel.db", set_as_current=False, changes=changes)
        self.archive: Final = archive_at(f"sqlite:///{folder}/history.db", self.app.conf)
        self.history: Final = History(self.archive)

    def run(self, *jobs: str) -> None:
        """Have a worker run what waits, until each of *jobs* has ended, and record it."""
        with worker(self.app, threads=2):
            self.until(lambda: all(self.app.AsyncResult(job).ready() for job in jobs))
        self.until(lambda: self.record() and all(self._over(job) for job in jobs))

    async def arun(self, *jobs: str) -> None:
        """The async twin of `run`."""
        await asyncio.to_thread(self.run, *jobs)

    def record(self) -> bool:
        """Record what was told by now, and how the queues are. Always True."""
        asyncio.run(self.arecord())
        return True

    async def arecord(self) -> None:
        """The async twin of `record`."""
        source = source_of(self.app)
        assert source.inspector is not None
        await asyncio.to_thread(messenger.flush)
        await Recorder(self.archive, source, terms_of(self.app.conf)).catch_up()
        await Sampler(self.archive, source.broker, source.inspector, time.time).sample()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for *condition*. Raises `AssertionError` when it takes too long."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s"
            time.sleep(0.02)

    @asynccontextmanager
    async def browsing(self, options: Options | None = None) -> AsyncGenerator[httpx.AsyncClient]:
        """A client of a dashboard of this stage; it may change things as a page of ours may."""
        station = Station(self.app, options or Options(), History(self.archive))
        transport = httpx.ASGITransport(site(station), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=OURS) as client:
            yield client

    def close(self) -> None:
        """Give everything back."""
        self.archive.close()
        self.app.close()

    def _over(self, job: str) -> bool:
        found = self.history.job(job)
        return found is not None and found.job.finished is not None
