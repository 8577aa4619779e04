"""How long to go on trying: one deadline, and pauses with full jitter. Pure but for the clock and chance."""

from __future__ import annotations

import time
from typing import Final

from umbel.exceptions import BrokerUnavailable
from umbel.model import chance

ONE_TRY: Final = 0.6
"""The share of a deadline after which a line that gives no answer is given up: there shall be time for another line."""
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0


class Patience:
    """The tries of one operation against *server*, which is how it is named in errors.

    *sent* is for the engine: whether the try had a connection, and may have been carried out.
    """

    __slots__ = ("_seconds", "_server", "_until", "sent", "tries")

    def __init__(self, server: str, seconds: float) -> None:
        self._server = server
        self._seconds = seconds
        self.sent = False
        self.restart()

    def restart(self) -> None:
        """Count from now: the server has answered."""
        self._until = time.monotonic() + self._seconds
        self.tries = 0

    @property
    def left(self) -> float:
        """Seconds until the deadline; a little at least, so that a last try can be made."""
        return max(0.01, self._until - time.monotonic())

    def pause(self, error: Exception) -> float:
        """Seconds to wait before the next try after *error*: none before the second.

        Raises `BrokerUnavailable` from *error* when the deadline has passed.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.over(error)
        self.tries += 1
        if self.tries == 1:
            return 0.0
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self.tries, 8))
        return min(left, chance.random() * longest)

    def over(self, error: Exception) -> BrokerUnavailable:
        """The error to raise when there is no further try."""
        reason = str(error) or type(error).__name__
        unavailable = BrokerUnavailable(
            f"{self._server} could not be reached within {self._seconds:g} s: {reason}"
            if self.tries
            else f"{self._server} gave no answer: {reason}"
        )
        unavailable.__cause__ = error
        return unavailable
