"""The dashboard of this machine for as long as a block lasts, as `umbel dashboard` serves it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 30.0
_SAID: Final = re.compile(r"The dashboard is at (\S+)")


class DashboardDied(Exception):
    """The dashboard ended before anybody wanted it to."""


@asynccontextmanager
async def local_dashboard(app: str, folder: Path, log: Path, variables: Mapping[str, str]) -> AsyncGenerator[str]:
    """Serve the dashboard of *app*, in *folder*, with a recorder; gives its address. What it says goes to *log*."""
    command = (sys.executable, "-m", "umbel", "-A", app, "dashboard", "--any-port", "--log-format=text")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env={**os.environ, **variables}, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (address := _address(log)):
                if process.returncode is not None:
                    raise DashboardDied(f"see {log}")
                await asyncio.sleep(0.05)
        yield address
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()


def _address(log: Path) -> str:
    """The address of which *log* tells; nothing as long as it tells of none."""
    found = _SAID.search(log.read_text())
    return found[1] if found else ""
