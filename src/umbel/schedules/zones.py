"""Time zones by name."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Final

_UTC: Final = frozenset({"UTC", "Etc/UTC", "Zulu"})


def zone_of(name: str) -> tzinfo:
    """The time zone *name*, such as ``Europe/Berlin``. Raises `ValueError` if there is none."""
    if name in _UTC:
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # producers need no zones

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no time zone here: give a name such as Europe/Berlin (a system without zone files needs "
            "pip install tzdata)"
        ) from error
