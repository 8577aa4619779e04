"""Recording: a recorder beside the dashboard, in a thread of its own. What befalls it is told, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Final

from umbel.app.app import Umbel
from umbel.exceptions import UmbelError
from umbel.history.recorder import Recorder
from umbel.history.recording import recording

END_SECONDS: Final = 2.0
"""How long it has to write what it has read."""
_logger: Final = logging.getLogger("umbel.recorder")


class Recording:
    """Records what happens to the jobs of *app*, from `start` to `end`.

    In a loop of its own: what it decodes and counts would make pages wait.
    """

    def __init__(self, app: Umbel) -> None:
        self._app = app
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._recorder: Recorder | None = None
        self._broken = ""

    @property
    def trouble(self) -> str:
        """What keeps it from recording at the moment; empty: nothing."""
        return self._broken or (self._recorder.trouble if self._recorder is not None else "")

    def start(self) -> None:
        """Begin; does nothing if it has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="umbel-recorder", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Stop, and wait until what was read is written."""
        if self._thread is None:
            return
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._record())
        except UmbelError as error:
            self._broken = str(error)
            _logger.warning("Not recording: %s", error)
        except Exception as error:
            self._broken = f"{type(error).__name__}: {error}"
            _logger.exception("The recorder beside the dashboard has failed.")

    async def _record(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with recording(self._app) as self._recorder:
                await self._stop.wait()
        finally:
            with suppress(UmbelError, OSError):
                await self._app.broker.aclose()
