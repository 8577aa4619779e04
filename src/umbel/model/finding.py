"""Finding: what somebody who looked at a server or a file has seen."""

from __future__ import annotations

from typing import Final

import msgspec

STEP_SECONDS: Final = 2.0
"""How far two clocks may be apart before it is told."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: its name, how it is, and the *advice* if it endangers jobs: why, and the cure.

    *broken*: nothing works, or nothing is safe, until the advice was followed.
    """

    name: str
    value: str
    advice: str = ""
    broken: bool = False


def apart(told: float, before: float, after: float) -> float:
    """By how much a clock is ahead that has *told* its time between the moments *before* and *after* of this host.

    A slow answer proves no difference: what lies between both may have been right.
    """
    return told - min(max(told, before), after)


def clock(ahead: float) -> Finding:
    """What to say of a server whose clock is *ahead* of this host's by so many seconds, or behind it if below 0."""
    value = f"{ahead:+.2f} s"
    if abs(ahead) <= STEP_SECONDS:
        return Finding("clock", value)
    return Finding("clock", value, f"its clock and this host's are {abs(ahead):.0f} s apart: keep both in step by NTP")
