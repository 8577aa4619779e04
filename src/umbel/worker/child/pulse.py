"""Pulse: who is told that a child is alive."""

from __future__ import annotations

from typing import Protocol


class Pulse(Protocol):
    """Told of the rounds of the consumer's loop, so that others see whether it turns."""

    def hear(self) -> None:
        """The broker has answered."""

    def fill(self) -> None:
        """There is no room for a job: until there is, the broker is not asked."""

    def end(self, jobs: int) -> None:
        """So many *jobs* have ended for good."""
