"""Aligned text for people: plain columns, and durations as one would say them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_NUMBER: Final = re.compile(r"-|[\d.]+[smhd]?( \d+[smhd])?")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table under *heads*; numbers and durations stand to the right, text to the left."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(heads), *cells]) for column in range(len(heads))]
    right = [_counts(rows, column) for column in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(heads), *cells]
    ]


def duration(seconds: float | None) -> str:
    """*seconds* in at most two units ("2h 5m"), with a decimal below ten seconds; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 10:  # noqa: PLR2004 - where a decimal stops to matter
        return f"{max(seconds, 0.0):.1f}s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2])


def _counts(rows: Sequence[Sequence[object]], column: int) -> bool:
    return all(isinstance(row[column], int) or _NUMBER.fullmatch(str(row[column])) for row in rows)
