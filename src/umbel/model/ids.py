"""Ids: time-ordered for jobs, random for sessions."""

from __future__ import annotations

import os
import re
import time
from typing import Final

MAX_ID_LENGTH: Final = 255
_VALID_ID: Final = re.compile(r"[!-\"$-~]{1,255}")  # printable ASCII without space and '#'
_VALID_QUEUE: Final = re.compile(r"[A-Za-z0-9._@:-]{1,128}")


def new_id() -> str:
    """Make a job id: a UUID of version 7 as text, so ids sort by the millisecond they were made in."""
    moment = time.time_ns() // 1_000_000
    value = moment << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_session() -> str:
    """Make a session id: 128 random bits, so that a worker restarted under its old name revives nothing."""
    return os.urandom(16).hex()


def valid_id(text: str) -> bool:
    """Tell whether *text* may be a job id: 1-255 printable ASCII characters without space and '#'."""
    return _VALID_ID.fullmatch(text) is not None


def valid_queue(text: str) -> bool:
    """Tell whether *text* may name a queue; such a name cannot reach another queue's keys."""
    return _VALID_QUEUE.fullmatch(text) is not None
