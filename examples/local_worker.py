"""A worker of this machine for as long as a block lasts, as `umbel worker` starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

T = TypeVar("T")

STOP_SECONDS: Final = 30.0


class WorkerDied(Exception):
    """The worker ended before its work was done."""


class LocalWorker:
    """`umbel -A app worker` in *folder*, with *variables* added to the environment; its output goes to *log*."""

    def __init__(self, app: str, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
        """Start nothing yet."""
        self._command = (sys.executable, "-m", "umbel", "-A", app, "worker", "--loglevel=info", "--log-format=text")
        self._folder = folder
        self._log = log
        self._environment = {**os.environ, **variables}
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False

    async def __aenter__(self) -> Self:
        """Start it. Jobs sent before it is ready wait for it."""
        with self._log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self._folder, env=self._environment, stdout=output, stderr=output
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it as an operator would: SIGTERM, and wait until the running jobs are done."""
        process = self._started()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            code = await process.wait()
        if code != 0 and error is None and not self._killed:
            raise WorkerDied(f"the worker ended with exit code {code}")

    async def serves(self, work: Awaitable[T]) -> T:
        """The result of *work*, which needs this worker. Raises `WorkerDied` if it ends meanwhile."""
        working = asyncio.ensure_future(work)
        death = asyncio.ensure_future(self._started().wait())
        await asyncio.wait({working, death}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            raise WorkerDied(f"the worker ended with exit code {death.result()}")
        death.cancel()
        return working.result()

    async def kill(self) -> None:
        """End it as a power cut would: SIGKILL, and nothing is handed back. Its children end with it."""
        self._killed = True
        self._started().kill()
        await self._started().wait()

    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise WorkerDied("the worker was not started")
        return self._process
