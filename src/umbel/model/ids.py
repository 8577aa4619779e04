"""Ids: time-ordered for jobs, random for sessions."""

from __future__ import annotations

import os
import re
import time
from typing import Final

MAX_ID_LENGTH: Final = 255
_VALID_ID: Final = re.compile(r"[!-\"$-~]{1,255}")  # printable ASCII without space and '#'
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_VALID_QUEUE: Final = re.compile(r"[A-Za-z0-9._@:-]{1,128}")


def new_id() -> str:
    """Make a job id: a UUID of version 7 as text, so ids sort by the millisecond they were made in."""
    # By text, not by arithmetic on a number of 128 bits: half the time, and every send pays it.
    moment = f"{time.time_ns() // 1_000_000:012x}"
    chance = os.urandom(10).hex()
    return f"{moment[:8]}-{moment[8:]}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"


def new_session() -> str:
    """Make a session id: 128 random bits, so that a worker restarted under its old name revives nothing."""
    return os.urandom(16).hex()


def valid_id(text: str) -> bool:
    """Tell whether *text* may be a job id: 1-255 printable ASCII characters without space and '#'."""
    return _VALID_ID.fullmatch(text) is not None


def valid_queue(text: str) -> bool:
    """Tell whether *text* may name a queue; such a name cannot reach another queue's keys."""
    return _VALID_QUEUE.fullmatch(text) is not None
