"""SQL files as named statements: one file per verb, read when its adapter is imported."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def statements(package: str, file: str) -> dict[str, str]:
    """The statements in *file* of *package*, by the ``-- name: …`` lines above them."""
    _, *parts = _NAME.split(text(package, file))
    return {name: statement.strip() for name, statement in zip(parts[::2], parts[1::2], strict=True)}


def text(package: str, file: str) -> str:
    """All of *file* in *package*."""
    return files(package).joinpath(file).read_text(encoding="utf-8")
