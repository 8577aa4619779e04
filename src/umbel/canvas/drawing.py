"""Drawing: the boxes of a flow as text, in Mermaid's language and as SVG. Names are shown as they are, never obeyed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from umbel.canvas.boxes import Box, State

COLORS: Final = {
    "": "#f4f4f4",
    "waiting": "#f4f4f4",
    "running": "#dbeafe",
    "succeeded": "#dcfce7",
    "ended": "#dcfce7",
    "failed": "#fee2e2",
}
"""The fill of a box by its state."""

MAX_TITLE: Final = 48
"""Longer titles are cut at their start: the end of a task's name tells more."""
BOX_HEIGHT: Final = 44
_GAP: Final = 60
_ROW_GAP: Final = 16
_MARGIN: Final = 12
_CHARACTER: Final = 7.3
"""The width of a monospace character of 12 px, rounded up."""


def text(boxes: Sequence[Box]) -> str:
    """A numbered line for each box: its jobs, how far they have come, and the boxes that they wait for."""
    rows = [(f"{number}", box.title, box.standing, _after(box)) for number, box in enumerate(boxes, 1)]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return "\n".join(
        f"{number:>{widths[0]}}  {title:<{widths[1]}}  {standing:<{widths[2]}}  {after}".rstrip()
        for number, title, standing, after in rows
    )


def mermaid(boxes: Sequence[Box]) -> str:
    """The graph in Mermaid's language, boxes coloured by their state."""
    shown = ["graph LR"]
    for number, box in enumerate(boxes, 1):
        label = _harmless(f"{box.title}, {box.standing}" if box.standing else box.title)
        shown.append(f'  j{number}["{label}"]')
    shown += [f"  j{before + 1} --> j{number}" for number, box in enumerate(boxes, 1) for before in box.after]
    for state in dict.fromkeys(box.state for box in boxes if box.state):
        of_it = ",".join(f"j{number}" for number, box in enumerate(boxes, 1) if box.state == state)
        shown += [f"  classDef {state} fill:{COLORS[state]}", f"  class {of_it} {state}"]
    return "\n".join(shown)


class Placed(msgspec.Struct, frozen=True):
    """A box of a drawing: where it is, how wide, and what is written in it; *whole* is its title uncut."""

    left: float
    top: float
    width: float
    title: str
    standing: str
    state: State
    whole: str


class Drawing(msgspec.Struct, frozen=True):
    """Boxes, in the order in which they were given, in layers from left to right. All is in pixels.

    *arrows* are paths in SVG's language: a curve and the head at its end, from each box to those that wait for it.
    """

    boxes: tuple[Placed, ...]
    arrows: tuple[str, ...]
    width: float
    height: float


def drawn(boxes: Sequence[Box]) -> Drawing:
    """Where the boxes of a flow are drawn."""
    places, width, height = _placed(boxes)
    shown = (
        Placed(left, top, wide, _cut(box.title), box.standing, box.state, box.title)
        for box, (left, top, wide) in zip(boxes, places, strict=True)
    )
    return Drawing(tuple(shown), tuple(_arrows(boxes, places)), width, height)


def svg(boxes: Sequence[Box]) -> str:
    """The graph as an SVG document: layers from left to right, boxes coloured by their state."""
    drawing = drawn(boxes)
    width, height = drawing.width, drawing.height
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    shown = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="12">',
        '<g fill="none" stroke="#888888">',
        *(f'<path d="{path}"/>' for path in drawing.arrows),
        "</g>",
        *map(_box, drawing.boxes),
        "</svg>",
    ]
    return "\n".join(shown)


_Place = tuple[float, float, float]
"""Left and upper edge of a box, and its width, in pixels."""


def _placed(boxes: Sequence[Box]) -> tuple[list[_Place], float, float]:
    """Where each box is, and width and height of the whole."""
    layers: dict[int, list[int]] = {}
    for number, box in enumerate(boxes):
        layers.setdefault(box.layer, []).append(number)
    rows = max(map(len, layers.values()), default=0)
    height = 2 * _MARGIN + max(rows * (BOX_HEIGHT + _ROW_GAP) - _ROW_GAP, 0)
    places: dict[int, _Place] = {}
    left = float(_MARGIN)
    for layer in sorted(layers):
        # A box goes beside the middle of those that it waits for, so that few arrows cross.
        numbers = sorted(layers[layer], key=lambda number: _middle(boxes[number].after, places))
        width = max(_width(boxes[number]) for number in numbers)
        top = (height - len(numbers) * (BOX_HEIGHT + _ROW_GAP) + _ROW_GAP) / 2
        for row, number in enumerate(numbers):
            places[number] = (left, top + row * (BOX_HEIGHT + _ROW_GAP), width)
        left += width + _GAP
    return [places[number] for number in range(len(boxes))], max(left - _GAP + _MARGIN, 2 * _MARGIN), height


def _middle(after: Iterable[int], places: dict[int, _Place]) -> float:
    tops = [places[number][1] for number in after]
    return sum(tops) / len(tops) if tops else 0.0


def _arrows(boxes: Sequence[Box], places: Sequence[_Place]) -> list[str]:
    shown: list[str] = []
    for box, (right, top, _) in zip(boxes, places, strict=True):
        for before in box.after:
            left, upper, width = places[before]
            x, y, to = left + width, upper + BOX_HEIGHT / 2, top + BOX_HEIGHT / 2
            half = (x + right) / 2
            curve = f"M{x:.1f} {y:.1f}C{half:.1f} {y:.1f} {half:.1f} {to:.1f} {right:.1f} {to:.1f}"
            shown.append(f"{curve}M{right - 6:.1f} {to - 4:.1f}L{right:.1f} {to:.1f}L{right - 6:.1f} {to + 4:.1f}")
    return shown


def _box(box: Placed) -> str:
    middle, title, standing = box.left + box.width / 2, escape(box.title), escape(box.standing)
    return (
        f"<g><title>{escape(box.whole)}</title>"
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" height="{BOX_HEIGHT}" rx="5"'
        f' fill="{COLORS[box.state]}" stroke="#555555"/>'
        f'<text x="{middle:.1f}" y="{box.top + 18:.1f}" text-anchor="middle">{title}</text>'
        f'<text x="{middle:.1f}" y="{box.top + 34:.1f}" text-anchor="middle" fill="#555555">{standing}</text></g>'
    )


def _after(box: Box) -> str:
    return f"after {', '.join(str(number + 1) for number in box.after)}" if box.after else ""


def _width(box: Box) -> float:
    return max(len(_cut(box.title)), len(box.standing)) * _CHARACTER + 20


def _cut(title: str) -> str:
    return title if len(title) <= MAX_TITLE else f"…{title[1 - MAX_TITLE :]}"


def _harmless(label: str) -> str:
    """*label* with all that Mermaid could take for its own language by number."""
    return "".join(each if each.isalnum() or each in " ._,-" else f"#{ord(each)};" for each in label)
