"""Lateness: by how long the event loop of a child comes late to what is due. One timer a second: it costs nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

PERIOD_SECONDS: Final = 1.0
KEPT: Final = 10
"""Over how many looks the worst is told: whoever asks does so every few seconds, and shall not miss it."""


class Board(Protocol):
    """Where it is told."""

    def turn(self, lag: float, due: float) -> None:
        """The loop has turned, at worst *lag* seconds late; it is to turn again in *due* seconds, or never (0)."""


class Lateness:
    """Measures the running loop from `start` to `close`, and tells *board*."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._worst: deque[float] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look once a second from now on."""
        loop = asyncio.get_running_loop()
        self._board.turn(max(self._worst, default=0.0), PERIOD_SECONDS)
        due = loop.time() + PERIOD_SECONDS
        self._timer = loop.call_at(due, self._turned, due)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._board.turn(0.0, 0.0)

    def _turned(self, due: float) -> None:
        self._worst.append(max(0.0, asyncio.get_running_loop().time() - due))
        self.start()
