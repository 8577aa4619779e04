"""Station: what all visits of one dashboard share: the app, its history, options, and answers that are shared."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, TypeVar

from umbel.app.app import Umbel
from umbel.dashboard.bulk import Bulks
from umbel.dashboard.options import Options
from umbel.dashboard.recording import Recording
from umbel.dashboard.sharing import Sharing
from umbel.exceptions import HistoryError
from umbel.history import History, open_history

T = TypeVar("T")

MAX_SHARED: Final = 256
_logger: Final = logging.getLogger("umbel.dashboard")


class Troubles:
    """What failed a moment ago, by its key, and why."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[float, str]] = {}

    def get(self, key: Hashable) -> str:
        """The trouble with *key*; empty: it may be tried."""
        until, trouble = self._known.get(key, (0.0, ""))
        return trouble if until > time.monotonic() else ""

    def put(self, key: Hashable, trouble: str, seconds: float) -> None:
        """Have nobody try *key* for so many *seconds*."""
        if len(self._known) >= MAX_SHARED:
            self._known.clear()
        self._known[key] = (time.monotonic() + seconds, trouble)


class Station:
    """The dashboard of *app*. Everything that it asks of the engine or the history goes through `read` or `shared`."""

    def __init__(self, app: Umbel, options: Options, history: History | None = None) -> None:
        self.app: Final = app
        self.options: Final = options
        self.history: Final = history or open_history(app.conf, app.main)
        self.recording: Final = Recording(app) if options.recorder else None
        self.bulks: Final = Bulks(app, self.history, self.audit)
        self.troubles: Final = Troubles()
        self.acts: Final = Sharing()
        """What was done a moment ago, by what names each act: a double click is answered twice, and done once."""
        self._shared = Sharing()

    async def read(self, ask: Callable[..., T], *given: Any, **named: Any) -> T:
        """What *ask*, which may block, answers: it runs in a thread."""
        return await asyncio.to_thread(ask, *given, **named)

    async def shared(self, key: Hashable, seconds: float, make: Callable[[], Awaitable[T]]) -> T:
        """What *make* answered at most *seconds* ago, to whomever: fifty open tabs ask once. See `Sharing`."""
        return await self._shared.get(key, seconds, make)

    def forget(self) -> None:
        """Share nothing of what was answered up to now: somebody has done something, and wants to see it."""
        self._shared.forget()

    def audit(self, who: str, origin: str, what: str, target: str, count: int, outcome: str) -> None:
        """Note in the history what somebody does; a history that cannot be written keeps nobody from acting."""
        try:
            self.history.audit(who, origin, what, target, count, outcome)
        except HistoryError as error:
            _logger.warning("%s (%s): %s on %s: %s, not noted: %s", who, origin, what, target, outcome, error)

    def open(self) -> None:
        """Begin to record, if the options say so, and go on with what is to be done with many jobs."""
        if self.recording is not None:
            self.recording.start()
        if not self.options.read_only:
            self.bulks.start()

    async def aclose(self) -> None:
        """Stop to record, and give back the connections of the history and of the app."""
        await self.bulks.aclose()
        if self.recording is not None:
            await asyncio.to_thread(self.recording.end)
        await asyncio.to_thread(self.history.close)
        await self.app.aclose()
