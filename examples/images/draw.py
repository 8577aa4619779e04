"""Images to try the thumbnails on, drawn here: different sizes, and a colour gradient with a few circles."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

SIZES: Final = ((1600, 1200), (1200, 1600), (2000, 500), (800, 800), (640, 480), (120, 90))
"""Width and height; the last is smaller than a thumbnail may be, and must keep its size."""


def draw_all(folder: Path, count: int) -> list[Path]:
    """Write *count* PNG images into *folder*, always the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_draw(folder / f"picture-{number:02}.png", number) for number in range(count)]


def _draw(path: Path, number: int) -> Path:
    width, height = SIZES[number % len(SIZES)]
    chance = random.Random(number)
    image = Image.merge(
        "RGB",
        [
            Image.linear_gradient("L").resize((width, height)),
            Image.radial_gradient("L").resize((width, height)),
            Image.new("L", (width, height), chance.randrange(256)),
        ],
    )
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, radius = chance.randrange(width), chance.randrange(height), chance.randrange(5, 5 + height // 6)
        color = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    image.save(path)
    return path
