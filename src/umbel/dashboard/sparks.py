"""Sparks: small figures as numbers for the SVG of a template; no drawing is done in Python but these points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

WIDTH: Final = 120.0
HEIGHT: Final = 26.0
_ROOM: Final = 2.0
"""Above and below the line, so that its stroke is not cut."""


class Spark(msgspec.Struct, frozen=True):
    """A line as *points* of SVG and the *area* below it, in a box of *width* by *height*."""

    points: str
    area: str
    width: float = WIDTH
    height: float = HEIGHT


def spark(values: Sequence[float | None], top: float | None = None) -> Spark | None:
    """The line of *values*, None as zero, up to *top* or their largest; None if there are fewer than two."""
    if len(values) < 2:  # noqa: PLR2004 - a line has two ends
        return None
    largest = max(top or 0.0, *(value or 0.0 for value in values)) or 1.0
    step, high = WIDTH / (len(values) - 1), HEIGHT - 2 * _ROOM
    places = [(n * step, _ROOM + high * (1 - (value or 0.0) / largest)) for n, value in enumerate(values)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Spark(points, f"0,{HEIGHT:.0f} {points} {WIDTH:.0f},{HEIGHT:.0f}")
