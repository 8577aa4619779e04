"""Which app a command is about: `-A`, UMBEL_APP, or the project file in the current folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from umbel.exceptions import ImproperlyConfigured


def app_name(given: str | None) -> str:
    """The app as *given* by `-A` or UMBEL_APP, or as the project file names it. Raises `ImproperlyConfigured`."""
    found = given or _from_files(Path())
    if not found:
        raise ImproperlyConfigured(
            "no app is named: give -A (such as -A tasks, for the file tasks.py), set UMBEL_APP, "
            'or write app = "tasks" into umbel.toml or under [tool.umbel] in pyproject.toml'
        )
    return found


def _from_files(folder: Path) -> str | None:
    """The app that umbel.toml or else pyproject.toml in *folder* names, or None."""
    found = _table(folder / "umbel.toml").get("app")
    if found is None:
        found = _table(folder / "pyproject.toml").get("tool", {}).get("umbel", {}).get("app")
    if found is not None and not isinstance(found, str):
        raise ImproperlyConfigured(f'app in the project file is {found!r}: write text, such as "tasks"')
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error
