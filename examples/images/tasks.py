"""Thumbnails. Decoding and scaling keep a CPU busy, so the worker's processes share the work."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from umbel import Umbel

LARGEST: Final = (160, 120)
"""Width and height in pixels that no thumbnail exceeds."""

app = Umbel("images")


@app.task
def thumbnail(source: str, folder: str) -> tuple[str, int, int]:
    """Write a JPEG thumbnail of the image file *source* into *folder*; returns its path, width and height.

    The file appears under its name only when it is complete, so running the job twice does no harm.
    """
    target = Path(folder) / f"{Path(source).stem}.thumbnail.jpg"
    unfinished = target.with_suffix(".part")
    with Image.open(source) as image:
        small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail(LARGEST, Image.Resampling.LANCZOS)
        small.save(unfinished, "JPEG", quality=85)
    unfinished.replace(target)
    return str(target), small.width, small.height
