"""Traces: tracebacks, line by line, so that a reader finds his own code in them."""

from __future__ import annotations

from typing import Final, NamedTuple

LIBRARIES: Final = ("/site-packages/", "/dist-packages/", "/lib/python", "<frozen ")
MAX_LINES: Final = 2_000


class TraceLine(NamedTuple):
    """A line, and what it is: ``frame`` (code of the app), ``library`` (code of others), ``raised`` or ``note``."""

    kind: str
    text: str


def trace(text: str) -> list[TraceLine]:
    """The lines of the traceback *text*, also of one with causes and groups; of a very long one, its end."""
    every = text.rstrip().split("\n")
    more = len(every) - MAX_LINES
    lines = [TraceLine("note", f"… {more:,} lines before these are left out …")] if more > 0 else []
    kind = "note"
    for line in every[-MAX_LINES:]:
        bare = line.lstrip(" |+-")
        if bare.startswith('File "'):
            kind = "library" if any(part in bare for part in LIBRARIES) else "frame"
            lines.append(TraceLine(kind, line))
            continue
        inside = line[:2] in {"  ", "| "} or line.lstrip().startswith("|   ")
        if not inside:
            kind = "note" if not bare or bare.endswith(":") else "raised"
        lines.append(TraceLine("code" if inside and kind == "frame" else kind, line))
    return lines
