"""Ids: time-ordered for jobs, random for sessions."""

from __future__ import annotations

import os
import re
import time
from typing import Final

MAX_ID_LENGTH: Final = 255
_VALID_ID: Final = re.compile(r"[!-\"$-~]{1,255}")  # printable ASCII without space and '#'
_UUID_BYTES: Final = 16
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_VALID_QUEUE: Final = re.compile(r"[A-Za-z0-9._@:-]{1,128}")


def new_id() -> str:
    """Make a job id: a UUID of version 7 as text, so ids sort by the millisecond they were made in."""
    # By text, not by arithmetic on a number of 128 bits: half the time, and every send pays it.
    moment = f"{time.time_ns() // 1_000_000:012x}"
    chance = os.urandom(10).hex()
    return f"{moment[:8]}-{moment[8:]}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"


_MEMBER_DIGITS: Final = 8


def new_flow_id() -> str:
    """Make the id of a flow or group: one of `new_id`, with room at its end for the number of a member."""
    return new_id()[:-_MEMBER_DIGITS] + "0" * _MEMBER_DIGITS


def derived_flow_id(text: str) -> str:
    """The id of the flow that is made for *text*: the same one each time."""
    from hashlib import sha256

    digits = sha256(text.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:24]}00000000"


def member_id(flow: str, number: int) -> str:
    """The id of member *number*, counted from 1, of *flow*: deterministic, and it tells its flow."""
    return f"{flow[:28]}{number:08x}"


def flow_of(job_id: str) -> str:
    """The flow that the job *job_id* is a member of, if it is a member of one and was given no id of its own."""
    return job_id[:-_MEMBER_DIGITS] + "0" * _MEMBER_DIGITS


def new_session() -> str:
    """Make a session id: 128 random bits, so that a worker restarted under its old name revives nothing."""
    return os.urandom(16).hex()


def valid_id(text: str) -> bool:
    """Tell whether *text* may be a job id: 1-255 printable ASCII characters without space and '#'."""
    return _VALID_ID.fullmatch(text) is not None


def valid_queue(text: str) -> bool:
    """Tell whether *text* may name a queue; such a name cannot reach another queue's keys."""
    return _VALID_QUEUE.fullmatch(text) is not None


def valid_task(text: str) -> bool:
    """Tell whether *text* may name a task: 1-255 printable characters."""
    return 0 < len(text) <= MAX_ID_LENGTH and text.isprintable()


def packed_id(job_id: str) -> bytes:
    """A job id as bytes: 16 if it is a UUID in its usual form, as those made here are; else its text and NULs."""
    try:
        packed = bytes.fromhex(job_id.replace("-", ""))
    except ValueError:
        packed = b""
    if len(packed) == _UUID_BYTES and unpacked_id(packed) == job_id:
        return packed
    text = job_id.encode()
    return text + (b"\0\0" if len(text) + 1 == _UUID_BYTES else b"\0")


def unpacked_id(packed: bytes) -> str:
    """The job id in *packed*."""
    if len(packed) != _UUID_BYTES:
        return packed.rstrip(b"\0").decode(errors="replace")
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
