"""Recording: a recorder beside the dashboard, in a thread of its own. What befalls it is told, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Final

from umbel.app.app import Umbel
from umbel.exceptions import UmbelError
from umbel.history.archives import archive_at, history_url
from umbel.history.recorder import Recorder
from umbel.history.recording import source_of
from umbel.history.retention import terms_of

AGAIN_SECONDS: Final = 10.0
"""How long after something that nobody foresaw it tries again."""
END_SECONDS: Final = 5.0
_logger: Final = logging.getLogger("umbel.recorder")


class Recording:
    """Records what happens to the jobs of *app*, from `start` to `end`."""

    def __init__(self, app: Umbel) -> None:
        self._app = app
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._over = threading.Event()
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
        self._over.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                asyncio.run(self._record())
                return
            except UmbelError as error:
                self._broken = str(error)
                _logger.warning("Not recording: %s", error)
                return
            except Exception as error:
                self._broken = f"{type(error).__name__}: {error}"
                _logger.exception("The recorder has failed, and is started again in %g s.", AGAIN_SECONDS)
                self._over.wait(AGAIN_SECONDS)

    async def _record(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if self._over.is_set():
            return
        app = self._app
        source = source_of(app)
        archive = archive_at(history_url(app.conf, app.main), app.conf)
        try:
            self._recorder = Recorder(archive, source, terms_of(app.conf))
            self._broken = ""
            await self._recorder.run(self._stop)
        finally:
            archive.close()
            with suppress(UmbelError, OSError):
                await app.broker.aclose()
