"""Clock: the engine's, as seen from this host. Moments that travel are on it, so hosts whose clocks differ agree."""

from __future__ import annotations

import time
from typing import Final

from umbel.model.finding import STEP_SECONDS

PATIENCE_SECONDS: Final = 1.0
"""An answer that took longer says too little about the moment it was given in."""


class Clock:
    """The engine's clock, as far as it is known here. One for a process: its engines are supposed to agree."""

    ahead: float = 0.0
    """By how many seconds it is ahead of this host's, below 0 behind it; 0 if they agree within two seconds."""

    def now(self) -> float:
        """The unix time on the engine's clock."""
        return time.time() + self.ahead

    def learn(self, before: float, told: float, after: float) -> None:
        """The engine has *told* its time between the moments *before* and *after* of this host."""
        if not 0.0 <= after - before <= PATIENCE_SECONDS:
            return
        ahead = told - (before + after) / 2
        self.ahead = ahead if abs(ahead) > STEP_SECONDS else 0.0


clock: Final = Clock()
