"""Script calls on a queue of this broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from umbel.engines.redis_calls import QueueCalls

FOLDER: Final = Path(__file__).parent / "scripts"


class Calls(QueueCalls):
    """Makes commands of names of scripts; see `QueueCalls`. *channel* is what channels of records begin with."""

    def __init__(self, channel: bytes, clock: Callable[[], float] | None, *, clustered: bool = False) -> None:
        super().__init__(FOLDER, b"jobs", clock, clustered=clustered)
        self.channel = channel
