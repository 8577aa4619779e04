"""The page on schedules is true: its code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from umbel import Umbel

PAGE = Path(__file__).parents[3] / "docs" / "schedules.md"


def test_the_code_on_the_page_runs() -> None:
    first, second = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "shop"}
    exec(first.replace("redis://localhost", "memory://the-page"), names)  # noqa: S102 - the page is ours
    app: Umbel = names["app"]
    app.load_tasks()
    assert [entry.name for entry in app.periodic.entries()] == ["Monday morning", "every half minute", "hourly"]
    exec(second, names)  # noqa: S102 - likewise
    assert app.schedules.list() == []


def test_the_page_names_every_key_and_command() -> None:
    from umbel.cli.schedules import schedules
    from umbel.schedules.wanted import POLICIES

    page = PAGE.read_text()
    assert [key for key in POLICIES if f"`{key}`" not in page] == []
    assert [name for name in schedules.commands if f"`{name}`" not in page and f"schedules {name}" not in page] == []
